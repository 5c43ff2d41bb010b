"What tests in a real browser share: the browser, a server, waiting, pictures of the pages."
import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest

from conftest import free_port, until

browser_path = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'))), None)
SHOTS = os.environ.get('ARTGAN_SCREENSHOTS')  # a folder where the screenshots are kept, to be looked at


def shot(page, name):
    if SHOTS: page.screenshot(path=f'{SHOTS}/{name}.png')


@contextlib.contextmanager
def served(folder, module, *options):
    "A Jupyter server on a free local port: its address"
    port = free_port()
    env = {**os.environ, 'ARTGAN_CACHE': str(folder/'cache'), 'JUPYTER_CONFIG_DIR': str(folder/'config'), 'JUPYTER_DATA_DIR': str(folder/'data'), 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-m', module, '--no-browser', f'--port={port}', '--allow-root', *options]
    with open(folder/'server.log', 'w') as log: server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    def answers():
        assert server.poll() is None, (folder/'server.log').read_text()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f'http://127.0.0.1:{port}/api', timeout=1).close()
            return True
    try:
        until(answers)
        yield f'http://127.0.0.1:{port}'
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope='module')
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
        browser = p.chromium.launch(executable_path=browser_path, args=args)
        yield browser
        browser.close()
