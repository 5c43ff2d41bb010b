"""`artgan.data.download` on a machine of our own making: no account, no internet, nobody at the keyboard.

Kaggle's client is replaced by a stand-in that does to the disk what the real one does; everything above it, opendatasets included, is the real code.
test_kaggle_client.py has the real client.
"""
import concurrent.futures, contextlib, io, json, os, sys, tempfile, threading, time, types, zipfile
from pathlib import Path
from unittest.mock import patch

import opendatasets

from artgan.core import InputError
from artgan.kaggle import KAGGLE_URL, _interactive, _kaggle_credentials, download

KEY = 'not-a-real-key-0123'

class FakeKaggle:
    "Stands in for `kaggle.api`; `fault` is what goes wrong"
    def __init__(self, fault=''): self.fault, self.calls, self.seen = fault, 0, None

    def authenticate(self): self.seen = tuple(map(os.environ.get, ('KAGGLE_USERNAME', 'KAGGLE_KEY', 'KAGGLE_API_TOKEN')))

    def dataset_download_files(self, dataset, path, force, quiet, unzip):
        self.calls += 1
        archive = Path(path)/f"{dataset.split('/')[1]}.zip"
        archive.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive, 'w') as z:
            for i in range(1, 4): z.writestr(f'images/Vincent_van_Gogh_{i}.jpg', f'painting {i}')
        if self.fault in ('download', 'bad zip'): os.truncate(archive, 60)
        if self.fault == 'download': raise KeyboardInterrupt
        if self.fault == 'offline': raise ConnectionError('Kaggle cannot be reached')
        with zipfile.ZipFile(archive) as z:
            for name in z.namelist():
                z.extract(name, path)
                if self.fault == 'unpack': raise KeyboardInterrupt
        archive.unlink()


@contextlib.contextmanager
def machine(api=None, **env):
    "A machine with an empty working folder and home, the variables `env`, and nobody to ask; gives what was printed"
    here, printed = os.getcwd(), io.StringIO()
    with (tempfile.TemporaryDirectory() as folder, patch.dict(os.environ), patch('IPython.get_ipython', lambda: None),
          patch('sys.stdin', io.StringIO()), patch.dict(sys.modules, kaggle=types.SimpleNamespace(api=api or FakeKaggle()))):
        for name in [name for name in os.environ if name.startswith('KAGGLE_')]: os.environ.pop(name)
        os.environ.update(env, HOME=folder, USERPROFILE=folder, KAGGLE_CONFIG_DIR=str(Path(folder)/'home'))
        os.chdir(folder)
        try:
            Path('home').mkdir()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed): yield printed
        finally: os.chdir(here)

def write_key(path, user): Path(path).write_text(json.dumps(dict(username=user, key=KEY)))

def files(folder='.'): return sorted(p.as_posix() for p in Path(folder).rglob('*') if p.is_file() and p.suffix != '.lock')  # which stays, empty


def test_each_place_is_found_and_an_earlier_one_wins():
    found = []
    def look():
        creds, where = _kaggle_credentials()
        found.append((creds.get('KAGGLE_USERNAME'), where.replace(os.environ['KAGGLE_CONFIG_DIR'], 'home')))

    with machine(): look()
    with machine(KAGGLE_CONFIG_DIR=''):
        write_key('home/kaggle.json', 'home')
        look()
        write_key('kaggle.json', 'here')
        look()
        os.remove('kaggle.json')
        os.environ.update(KAGGLE_USERNAME='variables', KAGGLE_KEY=KEY)
        look()

    assert found == [(None, ''), ('home', 'home/kaggle.json'), ('here', 'kaggle.json'), ('variables', 'KAGGLE_USERNAME and KAGGLE_KEY')]


def test_colab_keeps_secrets_of_either_kind():
    missing, closed = (type(name, (Exception,), {}) for name in ('SecretNotFoundError', 'NotebookAccessError'))
    def get(name):
        if name in secrets: return secrets[name]
        raise closed(name) if name in shut else missing(name)
    colab = types.ModuleType('google.colab')
    colab.userdata = types.SimpleNamespace(get=get, SecretNotFoundError=missing, NotebookAccessError=closed)
    old = {'KAGGLE_USERNAME': 'vincent', 'KAGGLE_KEY': KEY}
    cases = [({}, ()), (old, ()), ({'KAGGLE_API_TOKEN': KEY}, ()), (old | {'KAGGLE_API_TOKEN': KEY}, ()), ({'KAGGLE_KEY': KEY}, ()), (old, ('KAGGLE_API_TOKEN',))]
    found = []
    for secrets, shut in cases:
        with machine() as printed, patch.dict(sys.modules, {'google': types.ModuleType('google'), 'google.colab': colab}):
            creds, where = _kaggle_credentials()
        found.append((''.join(sorted(creds)), 'may not read' in printed.getvalue()))
        assert bool(creds) == (where == "Colab's secrets") and KEY not in printed.getvalue()
    key, token = 'KAGGLE_KEYKAGGLE_USERNAME', 'KAGGLE_API_TOKEN'
    assert found == [('', False), (key, False), (token, False), (token, False), ('', False), (key, True)]


def test_a_damaged_key_file_is_named_and_not_shown():
    for text in ('{"username": "vincent", "key": "' + KEY, json.dumps(dict(user='vincent', key=KEY)), '[]', '', '{"username": "vincent", "key": 7}'):
        with machine(KAGGLE_USERNAME='vincent', KAGGLE_KEY=KEY):
            Path('kaggle.json').write_text(text)
            try: _kaggle_credentials()
            except InputError as error: message = str(error)
            else: raise AssertionError(f'{text} was accepted')
            assert str(Path('kaggle.json').absolute()) in message and KEY not in message


terminal = types.SimpleNamespace(isatty=lambda: True)


def test_who_can_be_asked():
    person, nobody = (types.SimpleNamespace(kernel=types.SimpleNamespace(_allow_stdin=flag)) for flag in (True, False))
    answers = {}
    with machine():
        answers['script'] = _interactive()
        with patch('sys.stdin', None): answers['no input at all'] = _interactive()
        with patch('sys.stdin', terminal): answers['terminal'] = _interactive()
        with patch('IPython.get_ipython', lambda: person): answers['notebook'] = _interactive()
        with patch('IPython.get_ipython', lambda: nobody): answers['notebook in a test'] = _interactive()
    assert [name for name, yes in answers.items() if yes] == ['terminal', 'notebook']


def test_the_second_call_needs_neither_kaggle_nor_a_key():
    kaggle = FakeKaggle()
    with machine(kaggle) as printed:
        write_key('kaggle.json', 'vincent')
        before = dict(os.environ), os.getcwd()
        folder = download(data_dir='data')
        assert (dict(os.environ), os.getcwd()) == before
        os.remove('kaggle.json')
        assert download(data_dir='data') == folder == Path('data/best-artworks-of-all-time')
        assert {p.name for p in Path('data').iterdir() if p.suffix != '.lock'} == {folder.name}
        paintings = files(folder)
    assert kaggle.calls == 1 and kaggle.seen == ('vincent', KEY, None) and KEY not in printed.getvalue()
    assert len(paintings) == 3


def test_an_interrupted_download_is_repeated():
    kaggle = FakeKaggle()
    with machine(kaggle, KAGGLE_USERNAME='vincent', KAGGLE_KEY=KEY) as printed:
        messages = []
        for fault in ('download', 'unpack', 'bad zip', 'offline'):
            kaggle.fault = fault
            try: download()
            except (KeyboardInterrupt, ConnectionError) as error: messages.append(f'{fault}: {error}')
            assert len(messages) == kaggle.calls and os.listdir('.').count('best-artworks-of-all-time') == 0
            assert os.environ['KAGGLE_KEY'] == KEY
        kaggle.fault = ''
        folder = download()
        assert kaggle.calls == 5 and files() == files(folder) == [f'{folder}/images/Vincent_van_Gogh_{i}.jpg' for i in (1, 2, 3)]
    assert KEY not in printed.getvalue() + ''.join(messages)


def test_a_half_unpacked_folder_is_recognised_and_nothing_deleted():
    kaggle = FakeKaggle('unpack')
    with machine(kaggle, KAGGLE_USERNAME='vincent', KAGGLE_KEY=KEY) as printed:
        write_key('kaggle.json', 'vincent') # the one place that opendatasets knows
        try: opendatasets.download(KAGGLE_URL)
        except KeyboardInterrupt: half = files('best-artworks-of-all-time')
        opendatasets.download(KAGGLE_URL)
        assert kaggle.calls == 1 and len(half) == 2 # skipped, though only the archive and one of three paintings are there
        kaggle.fault = ''
        folder = download()
        assert len(files(folder)) == 3 and len(files(f'{folder}.old-1')) == 2
        (folder/'mine.txt').touch()
        download(force=True)
        assert len(files(folder)) == 3 and Path(f'{folder}.old-2/mine.txt').exists()
        kaggle.fault = 'offline'
        with contextlib.suppress(ConnectionError): download(force=True)
        assert kaggle.calls == 4 and len(files(folder)) == 3 and not Path(f'{folder}.old-3').exists()


def test_a_script_without_a_token_is_told_the_three_steps():
    with machine():
        try: download(data_dir='data')
        except InputError as error: message = str(error).replace(os.getcwd(), '/home/vincent/course')
        assert os.listdir('.') == ['home']
    assert all(f'\n{step}. ' in message for step in (1, 2, 3)) and 'https://www.kaggle.com/settings/api' in message and 'Generate New Token' in message


def test_in_a_terminal_a_token_or_a_key_is_asked_for_and_nothing_is_kept():
    for answer in ('', KEY):
        kaggle = FakeKaggle()
        with machine(kaggle) as printed, patch('sys.stdin', terminal), patch('getpass.getpass', return_value=answer), patch('click.prompt', side_effect=['vincent', KEY]) as prompt:
            before = dict(os.environ)
            download()
            assert kaggle.seen == ((None, None, KEY) if answer else ('vincent', KEY, None)) and prompt.call_count == (0 if answer else 2)
            assert dict(os.environ) == before and not any(KEY in Path(f).read_text() for f in files())
        assert KEY not in printed.getvalue() and 'https://www.kaggle.com/settings/api' in printed.getvalue()


def test_a_file_in_the_place_of_the_folder_is_refused():
    with machine():
        Path('data').touch()
        try: download(data_dir='data')
        except InputError as error: message = str(error)
    assert message == 'data is a file: pass a folder as data_dir'


def test_of_two_calls_at_once_one_downloads_and_the_other_waits():
    "A folder of one's own is left alone, whatever it is called"
    begun, go_on = threading.Event(), threading.Event()
    class Slow(FakeKaggle):
        def dataset_download_files(self, *args, **more):
            begun.set()
            assert go_on.wait(60)
            super().dataset_download_files(*args, **more)
    with machine(api := Slow(), KAGGLE_USERNAME='me', KAGGLE_KEY=KEY), concurrent.futures.ThreadPoolExecutor(2) as pool:
        Path('art.part').mkdir()
        Path('art.part/mine.txt').write_text('mine')
        first = pool.submit(download, 'me/art')
        assert begun.wait(60)
        second = pool.submit(download, 'me/art')
        time.sleep(0.3)
        assert not second.done()
        go_on.set()
        assert len(files(first.result())) == len(files(second.result())) == 3 and api.calls == 1
        assert Path('art.part/mine.txt').read_text() == 'mine' and not [*Path().glob('.art.*part*')]
