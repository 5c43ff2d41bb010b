"The site's pages: made from notebooks and code without losing anything. What Sphinx makes of them is tested by .ci/site, in its own job."
import ast
import json
import re
import sys
from pathlib import Path

import pytest

import sync
from artgan.core import InputError, as_choice, as_flag, as_number, as_path, as_whole, check_device
from artgan.data import Batches, load_images
from artgan.demo import demo_art
from artgan.recipes import choose_recipe
from artgan.train import fit
from artgan.weights import generate

sys.path.insert(0, str(sync.root/'site'))
import check
import messages
import package
import pages

notebooks = sync.notebooks()
modules = {m.name: m for m in package.modules()}


# Notebooks

@pytest.mark.parametrize('path', notebooks, ids=lambda p: p.stem)
def test_links_to_other_notebooks_lead_somewhere(path):
    for c in json.loads(path.read_text())['cells']:
        if c['cell_type'] != 'markdown': continue
        for link in re.findall(r'(?<!!)\]\(([^)#\s]+)[^)]*\)', ''.join(c['source'])):
            if '//' not in link: assert (path.parent/link).is_file(), link


def test_a_reader_sees_no_directives_and_nothing_hidden():
    hidden = shown = 0
    for path in notebooks:
        before, after = json.loads(path.read_text())['cells'], pages.adapted(path)['cells']
        text = '\n'.join(''.join(c['source']) for c in after)
        assert not re.search(r'^#\|', text, re.M) and not [c for c in after if c['cell_type'] == 'raw'] and 'colab-badge' not in text and 'Open in Colab</a>' in text
        for c in before:
            if c['cell_type'] == 'code' and re.search(r'#\| *hide', ''.join(c['source'])): hidden += 1
            elif c['cell_type'] == 'code': shown += '#| default_exp' not in ''.join(c['source'])
        assert not [k for c in after for o in c.get('outputs', ()) for k in o.get('data', ()) if 'widget' in k]
        shown -= sum(c['cell_type'] == 'code' for c in after)
    assert hidden > 20 and shown == 0, 'every other cell of code is there'


def test_pictures_and_texts_that_a_notebook_shows_are_on_its_page():
    path = pages.nbs/'tutorials'/'best_artworks.ipynb'
    before, after = ([o for c in cells if c['cell_type'] == 'code' for o in c['outputs']] for cells in (json.loads(path.read_text())['cells'], pages.adapted(path)['cells']))
    assert [o.get('data') for o in before] == [o.get('data') for o in after] and len(after) > 20
    bar = pages.plain({'output_type': 'stream', 'text': ['a: 1%\r', 'a: 50%\ra: 100%\n', 'done\n']})
    assert bar['text'] == 'a: 100%\ndone\n', 'the last state of a bar'


def test_names_become_links():
    assert pages.linked('`fit` and `fit()`') == '{py:obj}`fit <artgan.train.fit>` and {py:obj}`fit() <artgan.train.fit>`'
    assert pages.linked('`artgan.explore`') == '{py:obj}`artgan.explore <artgan.explorer.explore>`'
    for text in ('[`fit`](11_train.ipynb)', '```\n`fit`\n```', '# `fit`', '`fit(data)`', '`no_such_thing`', '`sizes`', '``a `fit` b``'): assert pages.linked(text) == text


def test_the_book_has_every_notebook_once():
    names = [*pages.tutorials(), *(name for _, names in pages.course() for name in names)]
    assert sorted([*names, 'index']) == sorted(p.stem for p in notebooks) and all(names for _, names in pages.course())
    course = [name for _, names in pages.course() for name in names]
    assert course == sorted(course) and names[0] == 'best_artworks'


# The reference

@pytest.mark.parametrize('module', modules.values(), ids=lambda m: m.name)
def test_the_reference_has_every_public_name(module):
    text = pages.reference(module)
    nb = json.dumps(pages.adapted(pages.nbs/f'{module.notebook}.ipynb'))
    for name in module.public:
        assert f"{{py:{'class' if isinstance(module.defined.get(name), ast.ClassDef) else ''}" in text
        if name in module.defined: assert re.search(rf'^`+{{py:(function|class|data)}} {name}(\(|$)', text, re.M) and f'(cell-{module.cell(module.defined[name])})=' in nb, name
        else: assert re.search(rf'<artgan\.\w+\.{name}>', text), f'{name} comes from another module'
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in module.public:
            for arg, comment in ((a.arg, module.lines[a.lineno - 1].split('#')[-1].strip()) for a in (*node.args.args, *node.args.kwonlyargs) if a.arg != 'self'):
                assert re.search(rf'^\| `{arg}` \|.*\|$', text, re.M) and len(comment) > 2, f'{node.name}: {arg}'


def test_a_function_has_its_parameters_lesson_and_source():
    text = pages.reference(modules['train'])
    assert re.search(r'^\| `epochs` \| `int = None` \| .{20}', text, re.M) and '(cell-' not in text and '{ref}`lesson <cell-' in text
    first, last = map(int, re.findall(r'artgan/train\.py#L(\d+)-L(\d+)', text.split('{py:function} fit(')[1])[0])
    assert any(line.startswith('def fit(') for line in modules['train'].lines[first - 1:first + 1]) and last > first + 10  # a decorator may stand above it
    assert [line.split('`')[1].split()[0] for line in pages.reference_index().splitlines() if line.startswith('| {py:obj}`artgan.')] == [f'artgan.{name}' for name in package.face()]


# Messages

def every(kind, call):
    "Each statement of the package that refuses something, with its file"
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and getattr(node.exc.func, 'id', '') == kind: yield module, node
            if isinstance(node, ast.Call) and ast.unparse(node.func) == call: yield module, node


def test_every_refusal_and_every_warning_is_on_the_page():
    page = pages.wrong()
    known = {(m.module.name, m.node.lineno): m.text for module in modules.values() for m in messages.said_by(module)}
    places = [*every('InputError', 'warnings.warn')]
    assert len(places) > 200
    for module, node in places:
        if (module.name, node.lineno) in known: assert pages.filled_in(known[module.name, node.lineno]) in page, f'artgan/{module.name}.py, line {node.lineno}'
        else: assert ast.unparse(node) == "warnings.warn(f'{e}{kept}')", f'artgan/{module.name}.py, line {node.lineno}: {ast.unparse(node)}'  # which passes on an error that is on the page itself


def test_every_module_that_says_something_has_its_place():
    placed = re.findall(r'\w+', ' '.join(re.findall(r'^messages: (.*)$', (sync.root/'site'/'wrong.md').read_text(), re.M)))
    assert len(placed) == len(set(placed)) and {name for name, m in modules.items() if messages.said_by(m)} <= set(placed) <= set(modules)


def test_what_is_said_is_what_the_page_has(tmp_path, tiny):
    "Errors made on purpose: each is one of the page's messages, with its placeholders filled in"
    known = [re.compile('.*?'.join(re.escape(p) for p in re.split('‹.*?›', m.text))) for module in modules.values() for m in messages.said_by(module)]
    art = demo_art(20, size=32)[0]
    (tmp_path/'empty').mkdir()
    calls = [lambda: as_whole('n', 'two', 1), lambda: as_number('lr', -1, above=0), lambda: as_flag('show', 3), lambda: as_choice('mode', 'x', ('a', 'b')), lambda: as_path(3),
             lambda: check_device('gpu'), lambda: load_images(tmp_path/'nowhere'), lambda: load_images(tmp_path/'empty'), lambda: choose_recipe('fast', check_device('cpu')),
             lambda: fit(art, epochs=1, minutes=1, **tiny), lambda: fit(art, epochs=1, out=tmp_path/'new', **{**tiny, 'batch_size': 64}), lambda: fit(3, **tiny),
             lambda: generate(tmp_path), lambda: generate(seed=-1.5), lambda: Batches(art.astype(float), 4)]
    for call in calls:
        with pytest.raises(InputError) as error: call()
        text = ' '.join(str(error.value).split())
        assert [m for m in known if m.fullmatch(text)], text


# What was quoted, and the look at links

def test_the_numbers_of_choose_stand_where_they_come_from():
    cells = json.loads((pages.nbs/'tutorials'/'choose.ipynb').read_text())['cells']
    quoted = [(t.slice.value.strip(), node.value.value) for c in cells if c['cell_type'] == 'code' and '%pip' not in ''.join(c['source'])
              for node in ast.walk(ast.parse(''.join(c['source']))) if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Subscript) and t.value.id == 'quoted']
    assert len(quoted) > 6
    for name, lines in quoted:
        there = json.loads((pages.nbs/f'{name}.ipynb').read_text())['cells']
        text = '\n'.join(''.join(c['source']) + '\n' + '\n'.join(''.join(o.get('text', o.get('data', {}).get('text/plain', ''))) for o in c.get('outputs', [])) for c in there)
        for line in lines.strip('\n').splitlines(): assert line in text, f'{name} has no longer: {line}'
    prose = ''.join(''.join(c['source']) for c in cells)
    for name, number in (('what_helps', 'KID 275 after 100,000'), ('what_helps', 'have a KID of 155; the best of three seeds of `\'cpu\'` has 206')):
        assert number in ''.join(''.join(c['source']) for c in json.loads((pages.nbs/'tutorials'/f'{name}.ipynb').read_text())['cells'])
    assert '275 without the stage and 159' in prose and '155 against 206' in prose
    larger = json.loads((pages.nbs/'tutorials'/'larger.ipynb').read_text())['cells']
    scores = ''.join(''.join(o.get('text', '')) for c in larger for o in c.get('outputs', []))
    for name, kid in (('the run at 128 px', 84), ('real ones of 64 px, enlarged', 165)): assert re.search(rf'{name} +{kid} ', scores) and f' {kid}' in prose


def test_the_look_at_links_finds_what_is_broken(tmp_path):
    page = '<html><h1 id="top">A</h1>{}<a class="left-prev" href="index.html">before</a></html>'
    (tmp_path/'index.html').write_text(page.format('<a href="a.html#here">a</a>'))
    (tmp_path/'a.html').write_text(page.format('<p id="here"><a href="#top">up</a><a href="https://example.org/#x">out</a><img src="p%20q.png" alt="p">'))
    (tmp_path/'p q.png').write_bytes(b'')
    assert check.trouble(tmp_path) == ([], 5)
    check.read.cache_clear()
    (tmp_path/'a.html').write_text(page.format('<a href="#nowhere">up</a><a href="b.html">b</a><img src="q.png">'))
    found, _ = check.trouble(tmp_path)
    assert len(found) == 4 and [f for f in found if f.startswith('index.html: a.html#here')] and all('a.html' in f for f in found)
