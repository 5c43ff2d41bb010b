"What the package's code says of itself, read and not run: public names, their parameters, and every message. Needs nothing but Python."
import ast, builtins, io, re, tokenize
from functools import cache, cached_property
from pathlib import Path

root = Path(__file__).resolve().parent.parent


class Module:
    "One file of the package"
    def __init__(self, path):
        self.path, self.name, self.source = path, path.stem, path.read_text(encoding='utf-8')
        self.tree, self.lines = ast.parse(self.source), self.source.splitlines()
        self.about = ast.get_docstring(self.tree) or ''
        self.cells = [(n, m[1], m[2]) for n, line in enumerate(self.lines, 1) if (m := re.match(r'# %% \.\./nbs/(\S+)\.ipynb #(\w+)', line))]
        self.notebook = self.cells[0][1]

    @cached_property
    def comments(self):
        "Line number to the comment on it"
        return {t.start[0]: t.string.lstrip('# ') for t in tokenize.generate_tokens(io.StringIO(self.source).readline) if t.type == tokenize.COMMENT}

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
        "(name, type, default, meaning) of each parameter of a function, and (type, meaning) of what it returns; what the `def` line says, too"
        a, rows = node.args, []
        plain = [*a.posonlyargs, *a.args]
        pairs = [*zip(plain, [None]*(len(plain) - len(a.defaults)) + a.defaults), *([(a.vararg, None)] if a.vararg else []), *zip(a.kwonlyargs, a.kw_defaults), *([(a.kwarg, None)] if a.kwarg else [])]
        for arg, default in pairs:
            if arg.arg in ('self', 'cls'): continue
            end = (default or arg.annotation or arg).end_lineno
            said = self.comments.get(end, '') if end > node.lineno else ''
            stars = '*' if arg is a.vararg else '**' if arg is a.kwarg else ''
            rows.append((stars + arg.arg, words_of(arg.annotation), words_of(default), said))
        at = node.returns.end_lineno if node.returns else max([node.lineno, *(arg.end_lineno for arg, _ in pairs)])
        until = range(at, node.body[0].lineno if node.body[0].lineno > at else at + 1)
        last = next((self.comments[n] for n in until if n in self.comments and self.lines[n - 1].rstrip().rsplit('#')[0].rstrip().endswith(':')), '')
        return rows, (words_of(node.returns), last)

    def fields(self, node):
        "(name, type, default, meaning) of each field of a dataclass or named tuple"
        return [(f.target.id, words_of(f.annotation), words_of(f.value), self.comments.get(f.end_lineno, '')) for f in node.body if isinstance(f, ast.AnnAssign) and not f.target.id.startswith('_')]


def words_of(node): return ast.unparse(node) if node is not None else ''


def patched(node): return any(ast.unparse(d).startswith('patch') for d in getattr(node, 'decorator_list', ()))


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
            if isinstance(node, ast.ClassDef) and node.name == cls: yield from ((module, n) for n in node.body if isinstance(n, ast.FunctionDef) and shown(n.name))
            if isinstance(node, ast.FunctionDef) and patched(node) and words_of(node.args.args[0].annotation) == cls and shown(node.name): yield module, node


def shown(name): return not name.startswith('_') or name in ('__call__', '__iter__', '__len__', '__getitem__')


@cache
def homes():
    "Public name to the one module that defines it; names of two modules, or that are also a parameter somewhere, are left out"
    parameters = {a.arg for m in modules() for a in ast.walk(m.tree) if isinstance(a, ast.arg)}
    found = [(name, m.name) for m in modules() for name in m.public if name in m.defined]
    return {name: home for name, home in found if name not in parameters and sum(n == name for n, _ in found) == 1}


# Messages

class Message:
    "Something the package can say to its user"
    def __init__(self, module, node, kind, text, function):
        self.module, self.node, self.kind, self.text, self.function = module, node, kind, text, function


@cache
def messages(module):
    "Every message of a module, in order"
    found = []
    for top in module.tree.body:
        if not isinstance(top, (ast.FunctionDef, ast.ClassDef)): continue
        for node, function in inside(top, top):
            for kind, value in spoken(node):
                if kind == 'line' and module.name == 'cli': continue  # what a command gives, and no message
                found += [Message(module, node, kind, tidy(text), called(top, function)) for text in texts(value, module, function) if tidy(text).count(' ') > 1]
    return found


def called(top, function):
    "The name of a function, or class and method, as its user says it"
    if patched(top): return f'{words_of(top.args.args[0].annotation)}.{top.name}'
    return f'{top.name}.{function.name}' if isinstance(top, ast.ClassDef) and function is not top and shown(getattr(function, 'name', '_')) else top.name


def inside(node, function):
    "Each node below one, in the order of the text, with the function it is in"
    for child in ast.iter_child_nodes(node):
        yield child, function
        yield from inside(child, child if isinstance(child, (ast.FunctionDef, ast.Lambda)) else function)


def spoken(node):
    "(kind, the expression of its text) where a node says something"
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
        name = words_of(node.exc.func)
        yield name, node.exc.args[-1]
    if isinstance(node, ast.Call) and node.args:
        name = words_of(node.func)
        if name == 'warnings.warn': yield 'warning', node.args[0]
        if name == 'say': yield 'line', node.args[0]
        if name.endswith('.note') and len(node.args) == 2: yield 'note', node.args[1]
    if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2 and isinstance(node.value.elts[0], ast.Constant):
        if isinstance(node.value.elts[0].value, str): yield 'note', node.value.elts[1]


def texts(node, module, function, depth=0):
    "What an expression can say, with ‹placeholders› for what is known only when it is said"
    if isinstance(node, ast.Constant): return [str(node.value)]
    if isinstance(node, ast.IfExp): return texts(node.body, module, function, depth) + texts(node.orelse, module, function, depth)
    if isinstance(node, ast.BoolOp): return [t for v in node.values for t in texts(v, module, function, depth)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [a + b for a in texts(node.left, module, function, depth) for b in texts(node.right, module, function, depth)]
    if isinstance(node, ast.JoinedStr):
        found = ['']
        for part in node.values: found = [a + b for a in found for b in (texts(part, module, function, depth) if isinstance(part, ast.Constant) else placeholder(part.value, module, function, depth + 1))]
        return found
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == 'format': return texts(node.func.value, module, function, depth)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and depth < 3:  # a function of ours that makes the text
        made = module.defined.get(node.func.id)
        values = [n.value for n in ast.walk(made) if isinstance(n, ast.Return) and n.value] if isinstance(made, ast.FunctionDef) else []
        if values: return [t for v in values for t in texts(v, module, made, depth + 1)]
    if isinstance(node, ast.Name) and depth < 3: return of_name(node, module, function, depth) or [f'‹{named(node.id)}›']
    return [f'‹{short(node)}›']


def of_name(node, module, function, depth):
    "What a variable of the function, or a constant of this module or another one, can say"
    local = [n for n in ast.walk(function) if isinstance(n, (ast.Assign, ast.AugAssign)) and n.lineno < node.lineno and any(getattr(t, 'id', '') == node.id for t in getattr(n, 'targets', [getattr(n, 'target', None)]))]
    found = []
    for n in local:
        new = texts(n.value, module, function, depth + 1)
        found = [a + b for a in found for b in new] if isinstance(n, ast.AugAssign) and within(n, node, function) else found if isinstance(n, ast.AugAssign) else found + new
    if local: return found
    return next((texts(m.defined[node.id].value, m, function, depth + 1) for m in (module, *modules()) if isinstance(m.defined.get(node.id), ast.Assign) and isinstance(m.defined[node.id].value, (ast.Constant, ast.JoinedStr))), [])


def within(early, late, function):
    "Whether two nodes of a function are in the same block of an `if`"
    blocks = [n for n in ast.walk(function) if isinstance(n, ast.If) and n.lineno <= early.lineno <= n.end_lineno]
    return all(n.lineno <= late.lineno <= n.end_lineno for n in blocks)


def placeholder(node, module, function, depth):
    "What a part of a message can say: its words where the code has them, otherwise a name in ‹›"
    if isinstance(node, ast.IfExp) and all(isinstance(n, ast.Constant) for n in (node.body, node.orelse)): return ['/'.join(str(n.value) for n in (node.body, node.orelse) if n.value)]
    known = texts(node, module, function, depth) if isinstance(node, (ast.Name, ast.Call)) else []
    fixed = isinstance(node, ast.Name) and isinstance(getattr(module.defined.get(node.id), 'value', None), ast.Constant)
    return known if known and (fixed or all(re.sub('‹.*?›', '', text).count(' ') > 1 for text in known)) else [f'‹{short(node)}›']


spelled = {'e': 'reason', 'error': 'reason', 'cwd': 'current folder', 'gettempdir': 'temporary folder', 'getpid': 'process', '__name__': 'type', 'src': 'source', 'get_content_type': 'kind of file', 'st_size': 'size', 'numel': 'number', 'n': 'number'}


def named(name): return spelled.get(name, name.replace('_', ' ').strip())


def short(node):
    "A name for an expression that a reader can make something of"
    if isinstance(node, ast.Name): return named(node.id)
    if isinstance(node, ast.Attribute): return named(node.attr)
    if isinstance(node, ast.Constant): return str(node.value)
    if isinstance(node, ast.Subscript): return short(node.slice if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else node.value)
    if isinstance(node, (ast.GeneratorExp, ast.ListComp)): return short(node.generators[0].iter)
    if isinstance(node, ast.BinOp): return short(node.right if isinstance(node.left, ast.Constant) else node.left)
    if isinstance(node, ast.BoolOp): return short(node.values[0])
    if isinstance(node, ast.Starred): return short(node.value)
    if not isinstance(node, ast.Call): return '…'
    name = words_of(node.func).split('.')[-1]
    if name == 'len': return 'number of ' + short(node.args[0])
    if name in ('absolute', 'lower', 'bit_length'): return short(node.func.value)
    transparent = hasattr(builtins, name) and isinstance(node.func, ast.Name) or name in ('join', 'fspath', 'shown_shape', 'as_size')
    return short(node.args[-1]) if node.args and transparent else short(node.func)


def tidy(text): return re.sub(r'\s+', ' ', text.replace('{', '‹').replace('}', '›') if re.search(r'\{\w+\}', text) else text).strip()
