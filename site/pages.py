"""Write what Sphinx builds: the notebooks as readers want them, and the pages that are made from the package's code.

    python site/pages.py FOLDER     writes FOLDER/pages (for Sphinx) and FOLDER/extra (the notebooks as they are, to download)

Nothing is run and nothing imported: the outputs are the stored ones. Needs nothing but Python; `.ci/site` calls it.
"""
import ast, json, re, shutil, sys
from pathlib import Path

import messages, package

sys.path.insert(0, str(package.root/'.ci'))
import sync

here = Path(__file__).resolve().parent
nbs = package.root/'nbs'
# Of the course, and where each begins
parts = [('Groundwork', '00_'), ('Pictures', '00a'), ('Networks and their game', '02'), ('How good is it?', '05'), ('How it learns', '06'),
         ('The run folder', '08'), ('Training', '10'), ('With what it learned', '12'), ('The command line, and faults', '13')]


def cell(kind, source, **more):
    return {'cell_type': kind, 'metadata': {}, 'source': source, **({'outputs': [], 'execution_count': None} if kind == 'code' else {}), **more}


# Words

def escaped(text):
    "Plain text, with code in backticks, as Markdown"
    pieces = re.split(r'(`[^`]+`)', ' '.join(text.split()))
    return ''.join(p if p.startswith('`') else re.sub(r'([*_<$|\[\]{}\\])', r'\\\1', p) for p in pieces)


def in_table(text): return text.replace('\\|', '|').replace('|', '\\|')


def code(text): return '``' + in_table(text) + '``' if '`' in text else f'`{in_table(text)}`' if text else ''


def obj(words, name): return f'{{py:obj}}`{words} <artgan.{name}>`'  # a link into the reference


def linked(text):
    "Markdown in which the name of a public function, in backticks, leads to the reference"
    def link(m):
        if not m['name']: return m[0]
        name = m['name'].removeprefix('artgan.').removesuffix('()')
        home = package.face().get(name) if m['name'].startswith('artgan.') else package.homes().get(name)
        return obj(m['name'], f'{home}.{name}') if home else m[0]
    other = r'^```.*?^```|^#.*?$|!?\[[^\]]*\]\([^)]*\)|\$[^$\n]+\$|``.*?``'  # blocks, headings, links, formulas: they stay as they are
    return re.sub(other + r'|`(?P<name>(?:artgan\.)?[A-Za-z_]\w*(?:\(\))?)`|`[^`\n]+`', link, text, flags=re.M | re.S)


# Notebooks

def directives(source): return [d.strip() for d in re.findall(r'^#\|(.*)$', source, re.M)]


def is_for_readers(c):
    "Whether a cell is shown: no front matter, nothing hidden, not the name of the module"
    said = directives(''.join(c['source']))
    return not (c['cell_type'] == 'raw' or 'hide' in said or any(d.startswith('default_exp') for d in said))


def buttons(path):
    "What stands under the title in place of the badge"
    inside = path.relative_to(nbs)
    up = '../'*(len(inside.parts) - 1)
    cfg, colab = sync.settings(), re.search(r'\((https[^)]*)\)$', sync.badge(path))[1]
    return (f'<p class="buttons"><a href="{colab}">Open in Colab</a><a href="{up}notebooks/{inside.as_posix()}" download>Download</a>'
            f'<a href="{cfg["git_url"]}/blob/{cfg["branch"]}/nbs/{inside.as_posix()}">On GitHub</a></p>')


def names_of_cells():
    "Cell id to [(name in the reference, address of its source)] for all public names that are made in an exported cell"
    found, cfg = {}, sync.settings()
    for module in package.modules():
        for name, node in ((n, module.defined[n]) for n in module.public if n in module.defined):
            found.setdefault(module.cell(node), []).append((f'{module.name}.{name}', module.address(node, cfg)))
    return found


def cells_of_code(): return {id for module in package.modules() for _, _, id in module.cells}


def adapted(path, names=None, anchors=None):
    "The notebook at `path` as the site shows it"
    nb = json.loads(path.read_text(encoding='utf-8'))
    names, anchors = names_of_cells() if names is None else names, cells_of_code() if anchors is None else anchors
    cells, heading = [], ''
    for c in filter(is_for_readers, nb['cells']):
        source = ''.join(c['source'])
        if c['cell_type'] == 'markdown':
            heading = ([heading] + re.findall(r'^#+ (.*)$', source, re.M))[-1]
            cells.append(cell('markdown', linked(source.replace(sync.badge(path), buttons(path)))))
            continue
        shown = re.sub(r'^#\|.*\n?', '', source, flags=re.M).strip('\n')
        exported = c.get('id') in anchors and re.match(r'#\|\s*export', source)
        if exported: cells.append(cell('markdown', f"(cell-{c['id']})="))
        if shown or c['outputs']:
            about = {'tags': ['exported']} if exported else {'mystnb': {'image': {'alt': re.sub(r'[`*$\[\]]', '', heading)}}}
            cells.append({**cell('code', shown), 'outputs': [plain(o) for o in c['outputs']], 'metadata': about})
        if exported and names.get(c['id']):
            made = ' '.join(f'{obj(n.split(".")[1], n)}\u00a0[source]({at})' for n, at in names[c['id']])
            cells.append(cell('markdown', '{.defines}\n' + made))
    for i, c in enumerate(cells): c['id'] = f'site-{i}'
    return {**nb, 'cells': cells, 'metadata': {**nb['metadata'], 'language_info': {'name': 'python', 'pygments_lexer': 'ipython3'}}}


def plain(output):
    "An output without its widget, whose state is not stored: a picture stands beside each; of a progress bar, the last that was drawn"
    if 'text' in output: return {**output, 'text': re.sub(r'[^\n]*\r(?!\n)', '', ''.join(output['text']))}
    return {**output, 'data': {k: v for k, v in output['data'].items() if 'widget' not in k}} if 'data' in output else output


# The book's order

def tutorials():
    "Every tutorial: in the order of the front page, then those that are not on it"
    front = [m for m in re.findall(r'\| \[tutorials/(\w+)\]', (nbs/'index.ipynb').read_text(encoding='utf-8'))]
    names = sorted(p.stem for p in sync.notebooks() if p.parent.name == 'tutorials')
    return sorted(names, key=lambda name: front.index(name) if name in front else len(front))


def course():
    "(part, [notebooks]) of the course, in order"
    found = {title: [] for title, _ in parts}
    for path in sync.notebooks():
        if path.parent == nbs and path.stem != 'index': found[[title for title, first in parts if first <= path.stem][-1]].append(path.stem)
    return [*found.items()]


def contents():
    "The table of contents, which the front page holds and the sidebar shows"
    def tree(caption, lines): return '\n'.join(['```{toctree}', ':hidden:', f':caption: {caption}', '', *lines, '```'])
    trees = [tree('Tutorials', [f'tutorials/{name}' for name in tutorials()] + ['when_it_goes_wrong'])]
    trees += [tree(title, [f"{name.replace('_', ' ', 1).replace('_', ' ')} <{name}>" for name in names]) for title, names in course()]
    return '\n\n'.join([*trees, tree('Reference', ['reference/index'])])


# The reference

def meaning(text): return linked(in_table(escaped(text))) if text else ''


def table(rows, first='parameter'):
    "A table of parameters or fields, where there is more to say of them than the signature does"
    if not any(kind or said for _, kind, _, said in rows): return []
    def typed(kind, default): return f'{kind} = {default}'.strip() if default else kind
    made = [f'| {code(name)} | {code(typed(kind, default))} | {meaning(said)} |' for name, kind, default, said in rows]
    return ['', ':::{container} parameters', f'| {first} | type | |', '|---|---|---|', *made, ':::']


def doc(node):
    "The docstring, a paragraph a line"
    return [linked(escaped(p)) for p in (ast.get_docstring(node) or '').split('\n\n') if p]


def ways(module, node, cfg): return f"{{ref}}`lesson <cell-{module.cell(node)}>` · [source]({module.address(node, cfg)})"


def function(module, node, cfg, kind='function'):
    "A function or method of the reference"
    rows, (returned, said) = module.parameters(node)
    manager = any('contextmanager' in package.words_of(d) for d in node.decorator_list)
    taken = f"({', '.join(with_star(node, rows))})"
    head = f'property}} {node.name}' if package.is_property(node) else f'{kind}}} {node.name}{taken}'
    lines = ['````{py:' + head]
    lines += ['', *sum(([p, ''] for p in doc(node)), []), *table(rows)]
    if manager: lines += ['', 'Used with `with`.']
    if returned or said: lines += ['', f"Returns {code(returned)}{': '*bool(returned and said)}{meaning(said)}"]
    return [*lines, '', '{.ways}', ways(module, node, cfg), '````', '']


def with_star(node, rows):
    "The parameters of a signature, with the star that stands before those to be given by name"
    shown = [name + f'={default}'*bool(default) for name, _, default, _ in rows]
    a = node.args
    if a.kwonlyargs and not a.vararg: shown.insert(len([n for n in (*a.posonlyargs, *a.args) if n.arg not in ('self', 'cls')]), '*')
    return shown


def klass(module, node, cfg):
    "A class, with its fields and its public methods, wherever they were patched in"
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == '__init__'), None)
    fields = module.fields(node)
    rows = module.parameters(init)[0] if init else fields
    inside = with_star(init, rows) if init else [n + f'={d}'*bool(d) for n, _, d, _ in rows]
    lines = [f"`````{{py:class}} {node.name}({', '.join(inside)})", '', *sum(([p, ''] for p in doc(node)), [])]
    lines += table(rows, 'parameter' if init else 'field')
    bases = [package.words_of(b) for b in node.bases if package.words_of(b) != 'NamedTuple']
    if bases: lines += ['', 'Of the kind ' + ', '.join(linked(f'`{b}`') for b in bases) + '.']
    lines += ['', '{.ways}', ways(module, node, cfg), '']
    for base in [node.name, *(b for b in bases if b.startswith('_'))]:  # what a private base adds is public here
        for owner, method in package.methods(base): lines += function(owner, method, cfg, 'method')
    return [*lines, '`````', '']


def constant(module, name, node, cfg):
    "A constant, with its value where that is short"
    value, said = package.words_of(node.value), module.said_of(node)
    lines = [f'````{{py:data}} {name}', '', *([meaning(said), ''] if said else [])]
    if len(value) < 400: lines += ['```python', f'{name} = {value}', '```', '']
    return [*lines, '{.ways}', ways(module, node, cfg), '````', '']


def reference(module):
    "The page of a module"
    cfg = sync.settings()
    source = f"{cfg['git_url']}/blob/{cfg['branch']}/artgan/{module.name}.py"
    lines = [f'# artgan.{module.name}', '', f'> {escaped(module.about)}', '', '{.ways}',
             f'The lesson: [{module.notebook}](../{module.notebook}.ipynb) · [source]({source})', '',
             f'```{{py:module}} artgan.{module.name}', '```', '']
    for name in [n for n in module.public if n in module.defined and not n.startswith('_')]:
        node = module.defined[name]
        if isinstance(node, ast.FunctionDef): lines += function(module, node, cfg)
        elif isinstance(node, ast.ClassDef): lines += klass(module, node, cfg)
        else: lines += constant(module, name, node, cfg)
    elsewhere = [linked(f'`{n}`') for n in module.public if n not in module.defined]
    return '\n'.join(lines + (['Also here: ' + ', '.join(elsewhere), ''] if elsewhere else []))


def first_line(module, name):
    node = module.defined[name]
    said = (ast.get_docstring(node) or '') if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else module.said_of(node)
    return meaning(said.split('\n\n')[0]) or f'A value: see its {{ref}}`lesson <cell-{module.cell(node)}>`.'


def reference_index():
    "What `import artgan` gives, then every module"
    by_name = {m.name: m for m in package.modules()}
    about = ('Every public function and class, made from the code. Each leads to its lesson, the notebook where it is written and shown, '
             'and to its source.')
    lines = ['# Reference', '', f'> {about}', '',
             '## In `artgan` itself', '', 'These are loaded when they are first asked for: `import artgan`, then `artgan.fit`.', '', '| | |', '|---|---|']
    lines += [f"| {obj(f'artgan.{name}', f'{home}.{name}')} | {first_line(by_name[home], name)} |" for name, home in package.face().items()]
    lines += ['', '## Modules', '', 'In the order of the course; each is written in the notebook of its name.', '', '| | |', '|---|---|']
    lines += [f'| [{m.name}]({m.name}.md) | {meaning(m.about)} |' for m in package.modules()]
    return '\n'.join([*lines, '', '```{toctree}', ':hidden:', '', *(f'{m.name} <{m.name}>' for m in package.modules()), '```', ''])


# When it goes wrong

said_as = {'note': 'note', 'warning': 'warning', 'line': 'line', 'ValueError': 'reason'}


def filled_in(text):
    "The text of a message, with what is filled in later in italics"
    return re.sub(r'‹(.*?)›', r'*\1*', escaped(text.replace('›‹', '› ‹')))


def message_list(modules):
    "The messages of some modules, each once, with the functions that give them"
    lines = []
    for module in modules:
        found = {}
        for m in messages.said_by(module): found.setdefault((m.kind, m.text), {})[m.function] = m
        for (kind, text), given in found.items():
            word = said_as.get(kind, 'refused' if kind == 'InputError' else 'error')
            where = ', '.join(given_by(module, *pair) for pair in given.items()) + (f' · `{kind}`' if word in ('refused', 'error') else '')
            lines += [':::{container} message', f'[{word}]{{.kind .{word}}} {filled_in(text)}', '', '{.ways}', where, ':::', '']
    return '\n'.join(lines)


def given_by(module, name, message):
    "A link to the function that gives a message: in the reference, or in its lesson where it is a private one"
    owner = name.partition('.')[0]
    if owner in module.public and owner in module.defined: return obj(name, f'{module.name}.{name}')
    return f'{{ref}}`{module.notebook} <cell-{module.cell(message.node)}>`'


def wrong():
    "The page of all messages: the prose of wrong.md, and under each heading the modules named there"
    by_name = {m.name: m for m in package.modules()}
    prose = linked((here/'wrong.md').read_text(encoding='utf-8'))
    return re.sub(r'^messages: (.*)$', lambda m: message_list([by_name[n] for n in m[1].split()]), prose, flags=re.M)


# All of it

def put(path, text):
    "Write a page, if it is another than is there: Sphinx then reads only what has changed"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding='utf-8') != text: path.write_text(text, encoding='utf-8')
    return path


def write(folder):
    "All pages of the site, below `folder`; what an earlier call left there and is no page any more is removed"
    folder, names, anchors = Path(folder), names_of_cells(), cells_of_code()
    pages, extra = folder/'pages', folder/'extra'
    made = []
    for path in sync.notebooks():
        nb, inside = adapted(path, names, anchors), path.relative_to(nbs)
        if path.stem == 'index': nb['cells'].append(cell('markdown', contents(), id='contents'))
        made.append(put(pages/inside, json.dumps(nb, ensure_ascii=False)))
        (extra/'notebooks'/inside.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, extra/'notebooks'/inside)
    made += [put(pages/'reference'/f'{m.name}.md', reference(m)) for m in package.modules()]
    made += [put(pages/'reference'/'index.md', reference_index()), put(pages/'when_it_goes_wrong.md', wrong())]
    for old in {p for p in pages.rglob('*.*') if p.is_file()} - {*made}: old.unlink()
    return made


if __name__ == '__main__':
    print(f'{len(write(sys.argv[1]))} pages in {sys.argv[1]}')
