"What reaches a person who does not clone: the wheel, the sdist, and how they are published. `.ci/wheel` also installs and uses them."
import re
import shutil
import subprocess
import sys

import pytest

import packaged
import sync

root = sync.root


@pytest.fixture(scope='module')
def dist(tmp_path_factory):
    "The sdist and the wheel made from it, built without the network"
    pytest.importorskip('build', reason='build is a dev requirement')
    pytest.importorskip('setuptools', reason='setuptools builds the wheel')
    folder = tmp_path_factory.mktemp('build')
    for name in ('setup.py', 'pyproject.toml', 'settings.ini', 'MANIFEST.in', 'README.md', 'CHANGELOG.md', 'LICENSE'): shutil.copy(root/name, folder)
    shutil.copytree(root/'artgan', folder/'artgan', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('tests', 'nbs'):  # what lies beside the package stays out
        (folder/name).mkdir()
        (folder/name/'test_mine.py').touch()
    (folder/'artgan/notes.txt').touch()
    done = subprocess.run([sys.executable, '-m', 'build', '--no-isolation', '-o', folder/'dist', folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder/'dist'


def test_they_hold_what_is_needed_and_no_more(dist):
    (wheel,), (sdist,) = dist.glob('*.whl'), dist.glob('*.tar.gz')
    assert packaged.trouble(wheel, sdist) == []
    assert 1e6 < wheel.stat().st_size < 3e6, 'the generator is in it, and little else'


def test_what_is_missing_or_too_much_is_seen(dist, tmp_path):
    "Otherwise the test above could not fail"
    import zipfile
    (wheel,), (sdist,) = dist.glob('*.whl'), dist.glob('*.tar.gz')
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(tmp_path/wheel.name, 'w') as new:
        for name in old.namelist():
            if name != 'artgan/paintings.md': new.writestr(name, old.read(name) if name != 'artgan/core.py' else b'')
        new.writestr('tests/test_mine.py', '')
    assert packaged.trouble(tmp_path/wheel.name, sdist) == ['the wheel lacks artgan/paintings.md', 'the wheel need not hold tests/test_mine.py', 'artgan/core.py is another than here']


def test_they_can_be_shown_on_pypi(dist):
    pytest.importorskip('twine', reason='twine is no dev requirement: .ci/wheel installs it')
    subprocess.run([sys.executable, '-m', 'twine', 'check', '--strict', *dist.iterdir()], check=True)


def test_in_colab_a_notebook_installs_what_there_is(monkeypatch):
    "The newest until there is a release, then the release, and back: settings.ini alone decides"
    cfg = sync.settings()
    monkeypatch.setattr(sync, 'settings', lambda: cfg)
    tutorials = sorted((root/'nbs/tutorials').glob('*.ipynb'))
    for path in tutorials:
        lines = {}
        for released in ('yes', 'no'):
            cfg['released'] = released
            text = sync.with_address(path)
            lines[released], = re.findall(r'%pip install[^"\\\\]*', text)
            again = text
            for cfg['released'] in ('no', 'yes', released): again = sync.with_address(path, again)
            assert again == text, 'there and back'
        assert re.fullmatch(r"%pip install -q 'artgan(\[[\w,]+\])?'  # the newest: 'artgan(\[[\w,]+\])? @ git\+https://\S+'", lines['yes'])
        assert re.fullmatch(r"%pip install -q 'artgan(\[[\w,]+\])? @ git\+https://\S+'", lines['no'])
    assert len(tutorials) >= 4


def test_a_tag_must_be_the_version():
    version = sync.settings()['version']
    def check(tag): return subprocess.run([sys.executable, root/'.ci/sync.py', '--check-tag', tag], capture_output=True, text=True)
    assert check(f'v{version}').returncode == 0
    for tag in (version, 'v9.9.9', f'v{version}.post1', ''):
        assert check(tag).returncode == 1 and f'its tag is v{version}' in check(tag).stderr


def test_the_workflow_publishes_tags_alone_and_keeps_no_password():
    yaml = pytest.importorskip('yaml')
    flow = yaml.safe_load((root/'.github/workflows/publish.yml').read_text())
    assert flow[True] == {'push': {'tags': ['v*']}, 'workflow_dispatch': None}  # YAML reads `on` as true
    build, upload = flow['jobs']['build'], flow['jobs']['upload']
    assert any('.ci/wheel' in step.get('run', '') for step in build['steps']) and any('--check-tag' in step.get('run', '') for step in build['steps'])
    assert upload['if'] == "github.event_name == 'push'" and upload['needs'] == 'build' and upload['environment'] == 'pypi'
    assert upload['permissions'] == {'id-token': 'write'} and 'permissions' not in build and flow['permissions'] == {'contents': 'read'}
    assert [step['uses'].partition('@')[0] for step in upload['steps']] == ['actions/download-artifact', 'pypa/gh-action-pypi-publish']
    assert 'secrets' not in (root/'.github/workflows/publish.yml').read_text()
