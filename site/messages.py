"Every message that the package can give, found in its code, which is read and not run. Needs nothing but Python."
import ast, builtins, itertools, re
from functools import cache

from package import modules, patched, root, shown, words_of


class Message:
    "Something the package can say to its user"
    def __init__(self, module, node, kind, text, function):
        self.module, self.node, self.kind, self.text, self.function = module, node, kind, text, function


@cache
def said_by(module):
    "Every message of a module, in order"
    found = []
    for top in module.tree.body:
        if not isinstance(top, (ast.FunctionDef, ast.ClassDef)): continue
        for node, function in inside(top, top):
            for kind, value in spoken(node):
                if kind == 'line' and module.name == 'cli': continue  # what a command gives, and no message
                said = map(tidy, texts(value, module, function))
                found += [Message(module, node, kind, text, called(top, function)) for text in said if text.count(' ') > 1]
    return found


def called(top, function):
    "The name of a function, or class and method, as its user says it"
    if patched(top): return f'{patched(top)}.{top.name}' if shown(top.name) else patched(top)
    is_method = isinstance(top, ast.ClassDef) and function is not top and shown(getattr(function, 'name', '_'))
    return f'{top.name}.{function.name}' if is_method else top.name


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
    target = words_of(node.targets[0]) if isinstance(node, ast.Assign) else ''
    if target.endswith('.status.value'): yield 'line', node.value  # what stands under a picture in a notebook
    if target.endswith('.hint.value'): yield from (('line', n) for n in ast.walk(node.value) if isinstance(n, ast.JoinedStr))
    if isinstance(node, ast.Constant) and node.value == 'page.html':  # what the page says that is made from this file
        for line in re.findall(r"\('status'\)\.textContent = (.*)", (root/'artgan'/'page.html').read_text(encoding='utf-8')):
            yield from (('line', ast.Constant(re.sub(r'\$\{(\w+)\}', r'‹\1›', text))) for text in re.findall('`(.*?)`', line))
    if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:  # a sign: its kind, and the note
        kind, text = node.value.elts
        if isinstance(kind, ast.Constant) and isinstance(kind.value, str): yield 'note', text


def texts(node, module, function, depth=0):
    "What an expression can say, with ‹placeholders› for what is known only when it is said"
    if isinstance(node, ast.Constant): return [str(node.value)]
    if isinstance(node, ast.IfExp): return texts(node.body, module, function, depth) + texts(node.orelse, module, function, depth)
    if isinstance(node, ast.BoolOp): return [t for v in node.values for t in texts(v, module, function, depth)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return joined(texts(node.left, module, function, depth), texts(node.right, module, function, depth))
    if isinstance(node, ast.JoinedStr): return joined(*(texts(part, module, function, depth) for part in node.values))
    if isinstance(node, ast.FormattedValue): return placeholder(node.value, module, function, depth + 1)
    if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'format': return texts(node.func.value, module, function, depth)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and depth < 3:  # a function of ours that makes the text
        made = module.defined.get(node.func.id)
        values = [n.value for n in ast.walk(made) if isinstance(n, ast.Return) and n.value] if isinstance(made, ast.FunctionDef) else []
        if values: return [t for v in values for t in texts(v, module, made, depth + 1)]
    if isinstance(node, ast.Name) and depth < 3: return of_name(node, module, function, depth) or [f'‹{named(node.id)}›']
    return [f'‹{short(node)}›']


def joined(*parts): return [''.join(p) for p in itertools.product(*parts)]


def of_name(node, module, function, depth):
    "What a variable of the function, or a constant of this module or another one, can say"
    def sets(n):
        targets = n.targets if isinstance(n, ast.Assign) else [n.target] if isinstance(n, ast.AugAssign) else []
        return any(getattr(t, 'id', '') == node.id for t in targets)
    local = [n for n in ast.walk(function) if sets(n) and n.lineno < node.lineno]
    found = []
    for n in local:
        new = texts(n.value, module, function, depth + 1)
        if isinstance(n, ast.Assign): found += new
        elif within(n, node, function): found = joined(found, new)
    values = ((m, getattr(m.defined.get(node.id), 'value', None)) for m in (module, *modules()))
    constants = [(m, value) for m, value in values if isinstance(value, (ast.Constant, ast.JoinedStr))]
    return texts(constants[0][1], constants[0][0], function, depth + 1) if constants and not local else found


def within(early, late, function):
    "Whether two nodes of a function are in the same block of an `if`"
    blocks = [n for n in ast.walk(function) if isinstance(n, ast.If) and n.lineno <= early.lineno <= n.end_lineno]
    return all(n.lineno <= late.lineno <= n.end_lineno for n in blocks)


def placeholder(node, module, function, depth):
    "What a part of a message can say: its words where the code has them, otherwise a name in ‹›"
    if isinstance(node, ast.IfExp) and isinstance(node.body, ast.Constant) and isinstance(node.orelse, ast.Constant):
        return ['/'.join(str(n.value) for n in (node.body, node.orelse) if n.value)]
    known = texts(node, module, function, depth) if isinstance(node, (ast.Name, ast.Call)) else []
    fixed = isinstance(node, ast.Name) and isinstance(getattr(module.defined.get(node.id), 'value', None), ast.Constant)
    return known if known and (fixed or all(re.sub('‹.*?›', '', text).count(' ') > 1 for text in known)) else [f'‹{short(node)}›']


spelled = {'e': 'reason', 'error': 'reason', 'cwd': 'current folder', 'gettempdir': 'temporary folder', 'getpid': 'process',
           '__name__': 'type', 'src': 'source', 'get_content_type': 'kind of file', 'st_size': 'size', 'numel': 'number', 'n': 'number'}


def named(name): return spelled.get(name, name.replace('_', ' ').strip())


def short(node):
    "A name for an expression that a reader can make something of"
    if isinstance(node, ast.Name): return named(node.id)
    if isinstance(node, ast.Attribute): return named(node.attr)
    if isinstance(node, ast.Constant): return str(node.value)
    if isinstance(node, ast.Subscript): return short(node.slice if isinstance(getattr(node.slice, 'value', 0), str) else node.value)
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
