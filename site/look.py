"""Three pages of the built site in Chromium, as wide as a phone and as a desktop: nothing is wider than the window, every figure is there.

    python site/look.py HTML [SHOTS]      needs playwright and a Chromium; screenshots go into the folder SHOTS, to be looked at
"""
import shutil, sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PAGES = 'tutorials/by_artist.html', '08c_latents.html', 'when_it_goes_wrong.html'
WIDTHS = {'phone': (390, 844), 'desktop': (1280, 900)}
WIDER = """() => [...document.querySelectorAll('article img, article svg, article video')]
    .filter(x => x.getBoundingClientRect().right > window.innerWidth + 1).map(x => x.outerHTML.slice(0, 80))"""
EMPTY = "() => [...document.querySelectorAll('article img')].filter(x => !x.complete || !x.naturalWidth).map(x => x.src.slice(0, 80))"


def trouble(folder, shots=None):
    "What is wrong, in words"
    path = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'))))
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=['--no-sandbox', '--disable-gpu'])
        for name in PAGES:
            for kind, (width, height) in WIDTHS.items():
                page = browser.new_page(viewport=dict(width=width, height=height))
                page.goto((Path(folder).resolve()/name).as_uri())
                where, across = f'{name} on a {kind}', page.evaluate('document.documentElement.scrollWidth')
                if across > width: yield f'{where} is {across} pixels wide'
                for image in page.query_selector_all('article img'): image.scroll_into_view_if_needed()  # some are loaded late
                page.wait_for_function("() => [...document.querySelectorAll('article img')].every(x => x.complete)")
                yield from (f'{where}: wider than the window: {x}' for x in page.evaluate(WIDER))
                yield from (f'{where}: not there: {x}' for x in page.evaluate(EMPTY))
                if shots: page.screenshot(path=f'{shots}/{Path(name).stem}-{kind}.png')
                page.close()


if __name__ == '__main__':
    found = [*trouble(*sys.argv[1:])]
    print(f'{len(PAGES)} pages looked at, {" and ".join(WIDTHS)}: {len(found)} things wrong')
    if found: sys.exit('\n'.join(found))
