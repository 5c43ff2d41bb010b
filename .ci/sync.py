"""Keep in step what is written twice: README.md with nbs/index.ipynb, and the repository's address with settings.ini.

    python .ci/sync.py                 rewrite README.md, the Colab badges and the Colab install lines; strip widget states
    python .ci/sync.py --test-command  print the README's test command (for .ci/run)
    python .ci/sync.py --requirements site  print what an extra needs besides the package, for pip (for .ci/site)
    python .ci/sync.py --check-tag TAG fail unless the tag is v and the version (for .github/workflows/publish.yml)

tests/test_project.py fails when a rewrite would change a file. Only `readme()` needs nbconvert (a dev requirement).
"""
import json, re, sys
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).resolve().parent.parent
figures = 'nbs/index_files'  # where the README's pictures are


def settings():
    "The one section of settings.ini"
    config = ConfigParser(delimiters=['='])
    config.read(root/'settings.ini', encoding='utf-8')
    return config['DEFAULT']


def notebooks():
    "Every notebook of the project, in order"
    return [p for p in sorted((root/'nbs').rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts]


def badge(path):
    "The link that opens the notebook at `path` in Colab"
    cfg = settings()
    target = f"https://colab.research.google.com/github/{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/{path.relative_to(root).as_posix()}"
    return f'[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({target})'


def install_line(extra=''):
    "How a notebook installs artgan in Colab: the release, once settings.ini says that there is one, or the newest"
    cfg = settings()
    released, newest = f"'{cfg['lib_name']}{extra}'", f"'{cfg['lib_name']}{extra} @ git+{cfg['git_url']}'"
    return f"%pip install -q {released}  # the newest: {newest}" if cfg.getboolean('released') else f'%pip install -q {newest}'


def with_address(path, text=None):
    "The text of the notebook at `path`, with its badge and install line as settings.ini wants them"
    text = path.read_text(encoding='utf-8') if text is None else text
    text = re.sub(r'\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)|COLAB_BADGE', lambda m: badge(path), text)
    return re.sub(r"%pip install -q '" + settings()['lib_name'] + r"(\[[\w,]+\])?[ '][^\"\\\n]*", lambda m: install_line(m[1] or ''), text)


def without_widget_state(text):
    "The text of a notebook without the state of its widgets, which no page shows (a picture stands beside each), and nbdev_clean keeps"
    nb = json.loads(text)
    if nb['metadata'].pop('widgets', None) is None: return text
    return json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + '\n'


def check_tag(tag):
    "End with a message unless `tag` is the version's own"
    version = settings()['version']
    if tag != f'v{version}': sys.exit(f'the tag is {tag}, and settings.ini has version {version}: its tag is v{version}')


def readme():
    "README.md as nbs/index.ipynb gives it, and its pictures: (text, {path: bytes})"
    import nbformat
    from nbconvert import MarkdownExporter
    nb = nbformat.read(root/'nbs/index.ipynb', as_version=4)
    nb.metadata['language_info'] = {'name': 'python'}  # nbdev_clean takes it out, and code blocks want it
    nb.cells = [cell for cell in nb.cells if not cell.source.startswith('#| hide')]
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.M)
    text, resources = MarkdownExporter().from_notebook_node(nb, resources={'output_files_dir': figures})
    text = re.sub(r'\]\((?!https?://|#|nbs/)([^)]+\.ipynb)\)', r'](nbs/\1)', text)
    return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n', resources['outputs']


def out_of_step():
    "What a rewrite would change: {path: new content}"
    text, pictures = readme()
    wanted = {p: without_widget_state(with_address(p)) for p in notebooks()} | {root/'README.md': text} | {root/k: v for k, v in pictures.items()}
    read = lambda p, new: (p.read_bytes() if isinstance(new, bytes) else p.read_text(encoding='utf-8')) if p.exists() else None
    return {p: new for p, new in wanted.items() if read(p, new) != new}


def command(start):
    "The README's command that starts with `start`"
    found = [l for l in (root/'README.md').read_text(encoding='utf-8').splitlines() if l.startswith(start)]
    if len(found) != 1: sys.exit(f'README.md has {len(found)} lines that start with {start!r}; there must be one')
    return found[0]


if __name__ == '__main__':
    if '--test-command' in sys.argv: print(command("pip install -e '.[dev]'"))
    elif '--check-tag' in sys.argv: check_tag(sys.argv[-1])
    elif '--requirements' in sys.argv: print(settings()[f'{sys.argv[-1]}_requirements'])
    else:
        for _ in range(2):  # the README comes from a notebook whose badge the first pass may have changed
            for path, new in out_of_step().items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(new) if isinstance(new, bytes) else path.write_text(new, encoding='utf-8')
                print('wrote', path.relative_to(root))
