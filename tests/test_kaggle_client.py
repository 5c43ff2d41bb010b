"""`download` with Kaggle's own client and the real opendatasets, against a server of our own that answers as Kaggle does."""
import base64, contextlib, http.server, io, json, os, sys, threading, types, zipfile
from pathlib import Path
from unittest.mock import patch

import kagglesdk.kaggle_env as kaggle_env
import pytest

from artgan.core import InputError
from artgan.kaggle import _kaggle_credentials, download

# What the server knows. No secret of another member is good.
TOKENS = {f'{name}-t0ken': name for name in ('variable', 'named-file', 'file', 'file-txt', 'login', 'colab', 'typed', 'notebook')}
KEYS = {name: f'{name}-k3y' for name in ('here', 'variables', 'folder', 'colab-key')}
SECRETS = [*TOKENS, *KEYS.values(), 'expired-t0ken', 'wrong-k3y', 'fresh']
PICTURES = io.BytesIO()
with zipfile.ZipFile(PICTURES, 'w') as z:
    for i in (1, 2, 3): z.writestr(f'images/Vincent_van_Gogh_{i}.jpg', f'painting {i}')


class Kaggle(http.server.BaseHTTPRequestHandler):
    "The calls that the client makes"
    def log_message(self, *args): "Say nothing"

    def send(self, body, status=200, kind='application/json', **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {'Content-Type': kind, 'Content-Length': len(body), **headers}.items(): self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self): self.send(PICTURES.getvalue(), kind='application/zip')  # where the archive lies, no credential needed

    def do_POST(self):
        call, given = self.path.rsplit('/', 1)[1], json.loads(self.rfile.read(int(self.headers['Content-Length'])) or '{}')
        kind, _, secret = self.headers.get('Authorization', '').partition(' ')
        if kind == 'Basic':
            name, _, key = base64.b64decode(secret).decode().partition(':')
            member = name if KEYS.get(name) == key else None
        else: member = TOKENS.get(secret)
        self.server.calls.append((call, member))
        if call == 'IntrospectToken':
            if self.server.answer: return self.send({'code': self.server.answer, 'message': 'no'}, self.server.answer)
            known = TOKENS.get(given['token'])
            return self.send({'active': bool(known), 'username': known} if known else {'active': False})
        if call == 'GenerateAccessToken':
            if given['refreshToken'] != 'fresh': return self.send({'code': 401, 'message': 'no'}, 401)
            return self.send({'token': 'login-t0ken', 'expiresIn': 43200})
        assert call == 'DownloadDataset' and given['ownerSlug'], call
        if member is None: return self.send({'code': 401, 'message': 'Unauthenticated'}, 401)
        if given['datasetSlug'] == 'nothing': return self.send({'code': 404, 'message': 'Not found'}, 404)
        self.send(b'', 302, 'text/plain', Location=f'http://127.0.0.1:{self.server.server_port}/archive.zip')


@pytest.fixture(scope='module')
def server():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Kaggle) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def kaggle(server, tmp_path, monkeypatch, capsys):
    "An empty home, nobody to ask, and a client that has not been imported yet and finds our server for Kaggle's; no secret may come out"
    server.calls, server.answer = [], 0
    for name in [n for n in os.environ if n.startswith(('KAGGLE_', 'XDG_CONFIG'))]: monkeypatch.delenv(name)
    for name in ('HOME', 'USERPROFILE'): monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv('NO_PROXY', '*')
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, f'http://127.0.0.1:{server.server_port}')
    monkeypatch.setattr('IPython.get_ipython', lambda: None)
    monkeypatch.setattr('sys.stdin', io.StringIO())
    forget()
    Path('.kaggle').mkdir()
    yield server
    forget()
    said = ''.join(capsys.readouterr())
    assert not [s for s in SECRETS if s in said]


def forget():
    "Let the client be imported again: it reads its places when it is"
    for name in [n for n in sys.modules if n == 'kaggle' or n.startswith('kaggle.')]: del sys.modules[name]


def member(server):
    "Whose the credential was that the archive was asked for with"
    return [who for call, who in server.calls if call == 'DownloadDataset'][-1]


def fetch(server, **kwargs):
    "Download again; who it was for the server"
    forget()
    before = dict(os.environ), os.getcwd()
    folder = download('vincent/paintings', 'data', force=True, **kwargs)
    assert (dict(os.environ), os.getcwd()) == before
    assert sorted(p.name for p in folder.rglob('*.jpg')) == [f'Vincent_van_Gogh_{i}.jpg' for i in (1, 2, 3)]
    assert not [p for p in Path('data').rglob('*') if p.is_file() and any(s in p.read_text() for s in SECRETS)]
    return member(server)


def put(path, content, **more):
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# Each kind: what the server must see, how it is put there, how it is taken away, in the order in which they count
def in_file(path, content): return lambda: put(path, content), lambda: os.remove(path)
def in_env(**values): return lambda: os.environ.update(values), lambda: [os.environ.pop(name) for name in values]
def key(name): return {'username': name, 'key': KEYS[name]}

PLACES = {
    'variable': in_env(KAGGLE_API_TOKEN='variable-t0ken'),
    'file': in_file('.kaggle/access_token', 'file-t0ken\n'),
    'file-txt': in_file('.kaggle/access_token.txt', 'file-txt-t0ken'),
    'here': in_file('kaggle.json', key('here')),
    'variables': in_env(KAGGLE_USERNAME='variables', KAGGLE_KEY=KEYS['variables']),
    'folder': in_file('.kaggle/kaggle.json', key('folder')),
    'login': in_file('.kaggle/credentials.json', {'refresh_token': 'fresh', 'username': 'login', 'access_token': '', 'access_token_expiration': ''}),
}


def taken_by_the_client(server):
    "Whose credential the client takes without us, or None"
    forget()
    with contextlib.redirect_stdout(io.StringIO()):
        from kaggle import api
        try: api.authenticate()
        except SystemExit: return None
    return api.config_values['username']


def test_all_kinds_in_the_order_of_the_client(kaggle):
    for put_there, _ in PLACES.values(): put_there()
    used, alone = [], []
    for name, (_, take_away) in PLACES.items():
        used.append(fetch(kaggle))
        if name != 'here': alone.append(taken_by_the_client(kaggle))  # which is opendatasets' own place
        take_away()
    assert used == [*PLACES] and alone == [name for name in PLACES if name != 'here']
    assert taken_by_the_client(kaggle) is None and _kaggle_credentials() == ({}, '')


@pytest.mark.parametrize('name', PLACES)
def test_each_kind_alone(kaggle, name, monkeypatch):
    monkeypatch.setenv('VERBOSE', '1')  # with which the client prints its headers
    with patch.dict(os.environ):
        PLACES[name][0]()
        assert fetch(kaggle) == name


def test_other_places_of_the_client(kaggle, monkeypatch):
    with patch.dict(os.environ, KAGGLE_API_TOKEN=put('mine.txt', 'named-file-t0ken\n')):
        assert fetch(kaggle) == 'named-file' == taken_by_the_client(kaggle)
    in_kaggle = dict(KAGGLE_KERNEL_RUN_TYPE='Interactive', KAGGLE_DATA_PROXY_URL='http://proxy', KAGGLE_API_V1_TOKEN=put('theirs', 'notebook-t0ken'))
    with patch.dict(os.environ, KAGGLE_API_TOKEN='variable-t0ken', **in_kaggle):
        assert fetch(kaggle) == 'notebook' == taken_by_the_client(kaggle)
    Path('elsewhere').mkdir(), put('elsewhere/kaggle.json', key('folder'))
    with patch.dict(os.environ, KAGGLE_CONFIG_DIR='elsewhere'): assert fetch(kaggle) == 'folder' == taken_by_the_client(kaggle)
    if sys.platform.startswith('linux'):
        Path('.kaggle').rmdir(), Path('.config/kaggle').mkdir(parents=True), put('.config/kaggle/kaggle.json', key('folder'))
        assert fetch(kaggle) == 'folder' == taken_by_the_client(kaggle)


def test_secrets_of_colab_and_answers_reach_the_client(kaggle, monkeypatch):
    missing = type('SecretNotFoundError', (Exception,), {})
    def get(name):
        if name in secrets: return secrets[name]
        raise missing(name)
    colab = types.ModuleType('google.colab')
    colab.userdata = types.SimpleNamespace(get=get, SecretNotFoundError=missing, NotebookAccessError=missing)
    with patch.dict(sys.modules, {'google': types.ModuleType('google'), 'google.colab': colab}):
        secrets = dict(KAGGLE_USERNAME='colab-key', KAGGLE_KEY=KEYS['colab-key'])
        assert fetch(kaggle) == 'colab-key'
        secrets['KAGGLE_API_TOKEN'] = 'colab-t0ken'
        assert fetch(kaggle) == 'colab'
    monkeypatch.setattr('sys.stdin', types.SimpleNamespace(isatty=lambda: True))
    with patch('getpass.getpass', return_value='typed-t0ken '): assert fetch(kaggle) == 'typed'
    with patch('getpass.getpass', return_value=''), patch('click.prompt', side_effect=['variables', KEYS['variables']]): assert fetch(kaggle) == 'variables'


def test_a_refused_token_is_said(kaggle, capsys):
    "The client passes over it in silence, or ends the program"
    def told():
        forget()
        with pytest.raises(ConnectionError) as error: download('vincent/paintings', 'data')
        assert not Path('data/paintings').exists() and not [s for s in SECRETS if s in str(error.value)]
        return str(error.value)
    put('.kaggle/access_token', 'expired-t0ken')
    refused = f"Kaggle refuses the token from {Path('.kaggle/access_token').absolute()}"
    assert refused in told()
    kaggle.answer = 401
    assert refused in told()
    kaggle.answer = 0
    put('kaggle.json', key('here'))  # the client goes on to this key, and still sends the token
    assert refused in told()
    os.remove('kaggle.json')
    PLACES['login'][0]()
    assert fetch(kaggle) == 'login'
    assert 'Kaggle refused the token from ' in capsys.readouterr().out


def test_other_refusals_are_said(kaggle):
    def told(name='vincent/paintings'):
        forget()
        with pytest.raises(ConnectionError) as error: download(name, 'data')
        return str(error.value)
    put('kaggle.json', {'username': 'here', 'key': 'wrong-k3y'})
    assert 'refuses access with the credential from kaggle.json' in told()
    put('kaggle.json', key('here'))
    assert 'no such data set, or it is private' in told('vincent/nothing')
    os.remove('kaggle.json')
    login = put('.kaggle/credentials.json', {'refresh_token': 'stale', 'username': 'login'})
    assert 'refuses access with the credential from' in told() and not Path(login).exists(), 'the client deletes it'


def test_what_cannot_be_a_credential_is_refused_before_anything_is_written(kaggle):
    for path, content in (('.kaggle/access_token', ' \n'), ('.kaggle/access_token', 'two\nlines'), ('kaggle.json', '{"username": 1'), ('.kaggle/credentials.json', '{}')):
        put(path, content)
        with pytest.raises(InputError, match=Path(path).name): download('vincent/paintings', 'data')
        os.remove(path)
    with patch.dict(os.environ, KAGGLE_API_TOKEN='two words'), pytest.raises(InputError, match='KAGGLE_API_TOKEN holds no token'): download('vincent/paintings', 'data')
    assert not Path('data').exists() and not kaggle.calls
