"""Whether every link of the built site leads somewhere: pages, anchors, pictures, scripts, and files to download.

    python site/check.py HTML       prints what there is, and ends with a message where something is missing
"""
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


outside = 'index.html', 'search.html', 'genindex.html', 'py-modindex.html'  # of the row of pages: no previous one


class Page(HTMLParser):
    "What a page has: anchors, and links of every kind"
    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.tags = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[k] for k in ('id', 'name') if found.get(k) and (k == 'id' or tag == 'a')}
        self.links += [found[k] for k in ('href', 'src', 'poster') if found.get(k)]
        self.tags.append((tag, found))


@cache
def read(path): return Page(path.read_text(encoding='utf-8'))


def trouble(folder):
    "(what is wrong, in words; how many links inside the site were followed)"
    folder, found, followed = Path(folder).resolve(), [], 0
    for path in sorted(p for p in folder.rglob('*.html') if '_static' not in p.parts):
        page, name = read(path), path.relative_to(folder).as_posix()
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc: continue
            followed += 1
            target = (path.parent/unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir(): target = target/'index.html'
            if not target.is_file() or folder not in target.parents: found.append(f'{name}: {link} leads nowhere')
            elif parts.fragment and target.suffix == '.html' and unquote(parts.fragment) not in read(target).ids:
                found.append(f'{name}: {link} has no such anchor')
        has_page_before = any(a.get('class') == 'left-prev' for _, a in page.tags)
        if name not in outside and not has_page_before: found.append(f'{name} is not in the book: there is no page before it')
    return found, followed


if __name__ == '__main__':
    found, followed = trouble(sys.argv[1])
    files = [p for p in Path(sys.argv[1]).rglob('*') if p.is_file()]
    pages, size = sum(p.suffix == '.html' and '_static' not in p.parts for p in files), sum(p.stat().st_size for p in files)
    print(f'{pages} pages, {size/1e6:.0f} MB, {followed:,} links inside the site followed, {len(found)} things wrong')
    if found or not followed: sys.exit('\n'.join(found) or 'there is nothing to check')
