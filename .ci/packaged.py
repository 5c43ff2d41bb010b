"""What the wheel and the sdist hold: what they need, and no more.

    python .ci/packaged.py DIST   fails where the two files in the folder DIST hold anything else

Needs nothing but Python. tests/test_package.py uses it too.
"""
import sys, tarfile, zipfile
from pathlib import Path

from sync import root, settings

carried = 'paintings.safetensors', 'paintings-D.safetensors', 'paintings.md', 'page.html'  # the two networks that come with the package, their card, and the page to share
not_packed = '_modidx.py',  # nbdev's index for the documentation


def wanted():
    "The package's own files, as the wheel has them"
    modules = [p.name for p in (root/'artgan').glob('*.py') if p.name not in not_packed]
    return {f"artgan/{name}" for name in [*modules, *carried]}


def trouble(wheel, sdist):
    "What is wrong with the two files, in words; the first also is where the card and the weights are as they are here"
    cfg, found = settings(), []
    name = f"{cfg['lib_name']}-{cfg['version']}"
    if Path(wheel).name != f'{name}-py3-none-any.whl' or Path(sdist).name != f'{name}.tar.gz':
        found.append(f'they are called {Path(wheel).name} and {Path(sdist).name}, and the version is {cfg["version"]}')
    with zipfile.ZipFile(wheel) as z:
        info, held = f'{name}.dist-info/', {n for n in z.namelist() if not n.endswith('/')}
        about = {f'{info}{n}' for n in ('METADATA', 'WHEEL', 'RECORD', 'entry_points.txt', 'top_level.txt', 'licenses/LICENSE')}
        found += [f'the wheel lacks {n}' for n in sorted((wanted() | about) - held)] + [f'the wheel need not hold {n}' for n in sorted(held - wanted() - about)]
        found += [f'{n} is another than here' for n in sorted(wanted() & held) if z.read(n) != (root/n).read_bytes()]
        metadata = z.read(f'{info}METADATA').decode()
        if f"\nVersion: {cfg['version']}\n" not in metadata: found.append('the version is not that of settings.ini')
        if '](nbs/' in metadata: found.append('the description has links that lead nowhere outside the repository')
    with tarfile.open(sdist) as t: packed = {n.partition('/')[2] for n in t.getnames()}
    needed = wanted() | {'setup.py', 'pyproject.toml', 'settings.ini', 'README.md', 'LICENSE', 'CHANGELOG.md'}
    found += [f'the sdist lacks {n}' for n in sorted(needed - packed)]
    return found + [f'the sdist need not hold {n}' for n in sorted(packed) if n.startswith(('tests', 'nbs', '.ci', '.git', 'runs'))]


if __name__ == '__main__':
    (wheel,), (sdist,) = Path(sys.argv[1]).glob('*.whl'), Path(sys.argv[1]).glob('*.tar.gz')
    found = trouble(wheel, sdist)
    for path in (wheel, sdist): print(f'{path.name}: {path.stat().st_size/1e6:.2f} MB')
    if found: sys.exit('\n'.join(found))
