"What the package's code says of itself, read and not run: public names, parameters and what they mean. Needs nothing but Python."
import ast, io, re, tokenize
from functools import cache, cached_property
from pathlib import Path

root = Path(__file__).resolve().parent.parent


class Module:
    "One file of the package"
    def __init__(self, path):
        self.path, self.name, self.source = path, path.stem, path.read_text(encoding='utf-8')
        self.tree, self.lines = ast.parse(self.source), self.source.splitlines()
        self.about = ast.get_docstring(self.tree) or ''
        marks = ((n, re.match(r'# %% \.\./nbs/(\S+)\.ipynb #(\w+)', line)) for n, line in enumerate(self.lines, 1))
        self.cells = [(n, m[1], m[2]) for n, m in marks if m]  # line, notebook, id of the cell
        self.notebook = self.cells[0][1]

    @cached_property
    def comments(self):
        "Line number to the comment on it"
        tokens = tokenize.generate_tokens(io.StringIO(self.source).readline)
        return {t.start[0]: t.string.lstrip('# ') for t in tokens if t.type == tokenize.COMMENT}

    @cached_property
    def public(self):
        "The names in `__all__`, in order"
        found = [n.value for n in self.tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '') == '__all__']
        return ast.literal_eval(found[0]) if found else []

    @cached_property
    def defined(self):
        "Name to the statement that defines it, for what stands at the top of the file; methods that were patched in are not there"
        found = {}
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef) or isinstance(node, ast.FunctionDef) and not patched(node): found[node.name] = node
            for target in node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []:
                found.update({n.id: node for n in getattr(target, 'elts', [target]) if isinstance(n, ast.Name)})
        return found

    def cell(self, node):
        "The id of the notebook's cell that a statement comes from"
        return [id for n, _, id in self.cells if n <= node.lineno][-1]

    def address(self, node, cfg):
        "Where a statement is in the repository"
        first = min([node.lineno, *(d.lineno for d in getattr(node, 'decorator_list', ()))])
        return f"{cfg['git_url']}/blob/{cfg['branch']}/{self.path.relative_to(root).as_posix()}#L{first}-L{node.end_lineno}"

    def said_of(self, node):
        "The comment at a statement of one line: behind it, or on the lines above"
        beside = [self.comments[node.lineno]] if node.lineno == node.end_lineno and node.lineno in self.comments else []
        above, n = [], node.lineno - 1
        while self.lines[n - 1].startswith('# ') and not self.lines[n - 1].startswith('# %%'): above, n = [self.comments[n], *above], n - 1
        return ' '.join(above or beside)

    def parameters(self, node):
        "(name, type, default, meaning) of each parameter of a function, and (type, meaning) of what it returns"
        a, rows = node.args, []
        plain = [*a.posonlyargs, *a.args]
        named = zip(plain, [None]*(len(plain) - len(a.defaults)) + a.defaults)
        pairs = [(arg, default) for arg, default in (*named, (a.vararg, None), *zip(a.kwonlyargs, a.kw_defaults), (a.kwarg, None)) if arg]
        for arg, default in pairs:
            if arg.arg in ('self', 'cls'): continue
            end = (default or arg.annotation or arg).end_lineno
            said = self.comments.get(end, '') if end > node.lineno else ''
            stars = '*' if arg is a.vararg else '**' if arg is a.kwarg else ''
            rows.append((stars + arg.arg, words_of(arg.annotation), words_of(default), said))
        at = node.returns.end_lineno if node.returns else max([node.lineno, *(arg.end_lineno for arg, _ in pairs)])
        until = range(at, node.body[0].lineno if node.body[0].lineno > at else at + 1)
        ends = [n for n in until if n in self.comments and self.lines[n - 1].rsplit('#')[0].rstrip().endswith(':')]
        last = self.comments[ends[0]] if ends else ''
        return rows, (words_of(node.returns), last)

    def fields(self, node):
        "(name, type, default, meaning) of each field of a dataclass or named tuple"
        found = [f for f in node.body if isinstance(f, ast.AnnAssign) and shown(f.target.id)]
        return [(f.target.id, words_of(f.annotation), words_of(f.value), self.comments.get(f.end_lineno, '')) for f in found]


def words_of(node): return ast.unparse(node) if node is not None else ''


def patched(node):
    "The class that a function is patched into, or None"
    is_patch = any(ast.unparse(d).startswith('patch') for d in getattr(node, 'decorator_list', ()))
    return words_of(node.args.args[0].annotation) if is_patch else None


def is_property(node): return any(re.match(r'property|cached_property|patch\(as_prop=True\)', ast.unparse(d)) for d in node.decorator_list)


@cache
def modules():
    "Every module of the package, in the order of their notebooks"
    return sorted((Module(p) for p in (root/'artgan').glob('[!_]*.py')), key=lambda m: m.notebook)


def face():
    "Name to module, for what `import artgan` gives"
    tree = ast.parse((root/'artgan'/'__init__.py').read_text(encoding='utf-8'))
    value, = (n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == '_home')
    return {k.arg: k.value.value for k in value.keywords}


def methods(cls):
    "(module, function) of each public method of a class: those in it, and those that were patched in, wherever that is"
    for module in modules():
        for node in module.tree.body:
            found = [node] if patched(node) == cls else node.body if isinstance(node, ast.ClassDef) and node.name == cls else []
            yield from ((module, n) for n in found if isinstance(n, ast.FunctionDef) and shown(n.name))


def shown(name): return not name.startswith('_') or name in ('__call__', '__iter__', '__len__', '__getitem__')


@cache
def homes():
    "Public name to the one module that defines it; names of two modules, or that are also a parameter somewhere, are left out"
    parameters = {a.arg for m in modules() for a in ast.walk(m.tree) if isinstance(a, ast.arg)}
    found = [(name, m.name) for m in modules() for name in m.public if name in m.defined]
    return {name: home for name, home in found if name not in parameters and sum(n == name for n, _ in found) == 1}
