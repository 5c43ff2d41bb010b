"Everything that pip needs to know stands in settings.ini; this file only passes it on."
import re
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

config = ConfigParser(delimiters=['='])
config.read(Path(__file__).parent/'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']
oldest = int(cfg['min_python'].split('.')[1])
readme = (Path(__file__).parent/'README.md').read_text(encoding='utf-8')
for kind, start in (('raw', r'!['), ('blob', '[')):  # PyPI shows the README without the repository around it
    readme = re.sub(rf'(?<!!){re.escape(start)}([^]]*)\]\(nbs/', rf"{start}\1]({cfg['git_url']}/{kind}/{cfg['branch']}/nbs/", readme)


class WithoutIndex(build_py):
    "nbdev's index, artgan/_modidx.py, is for the documentation and stays out of the wheel"
    def find_package_modules(self, package, folder):
        return [m for m in super().find_package_modules(package, folder) if m[1] != '_modidx']


setup(
    name=cfg['lib_name'],
    version=cfg['version'],
    description=cfg['description'],
    long_description=readme,
    long_description_content_type='text/markdown',
    keywords=cfg['keywords'].split(),
    author=cfg['author'],
    author_email=cfg['author_email'],
    url=cfg['git_url'],
    license='Apache-2.0',
    classifiers=['Development Status :: 3 - Alpha', 'Framework :: Jupyter',
                 f"Intended Audience :: {cfg['audience']}", f"Natural Language :: {cfg['language']}",
                 *(f'Programming Language :: Python :: 3.{minor}' for minor in range(oldest, 14))],
    cmdclass={'build_py': WithoutIndex},
    packages=find_packages(include=['artgan', 'artgan.*']),
    package_data={'artgan': ['paintings.safetensors', 'paintings-D.safetensors', 'paintings.md', 'page.html']},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(),
    extras_require={'dev': [x for extra in ('dev', 'metrics', 'aided') for x in cfg[f'{extra}_requirements'].split()],
                    'metrics': cfg['metrics_requirements'].split(), 'aided': cfg['aided_requirements'].split(),
                    'heic': cfg['heic_requirements'].split(), 'onnx': cfg['onnx_requirements'].split(), 'site': cfg['site_requirements'].split(),
                    'hub': cfg['hub_requirements'].split(), 'tensorboard': cfg['tensorboard_requirements'].split(),
                    'mlflow': cfg['mlflow_requirements'].split()},
    entry_points={'console_scripts': cfg['console_scripts'].split()},
)
