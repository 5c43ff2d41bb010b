"""A small hub on this machine: the calls of huggingface_hub that a push and a download of a model need, by the standard library's HTTP server.

It keeps repositories in memory: `hub.repos[name]` has `private` and `commits`, a list of (id, {file: bytes}), and `hub.calls` every call.
What the real hub does beyond that, such as Xet, it does not know."""
import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def sha1(content): return hashlib.sha1(b'blob %d\0' % len(content) + content).hexdigest()  # as git names a file


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Calls)
        self.repos, self.objects, self.calls, self.readers, self.writers = {}, {}, [], {'hf_reads', 'hf_writes'}, {'hf_writes'}
        self.url = f'http://127.0.0.1:{self.server_port}'
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def files(self, name, revision='main'):
        "(id, files) of a commit, or None"
        commits = self.repos[name]['commits']
        if revision == 'main': return commits[-1]
        return next((c for c in commits if c[0] == revision), None)


class Calls(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args): "Says nothing"

    def answer(self, status=200, body=None, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items(): self.send_header(name.replace('_', '-'), str(value))
        if 'Content_Length' not in headers: self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        if self.command != 'HEAD': self.wfile.write(content)

    def refuse(self, status, code, message): self.answer(status, {'error': message}, X_Error_Code=code, X_Error_Message=message)

    def token(self): return (self.headers.get('Authorization') or '').removeprefix('Bearer ')

    def body(self):
        if self.headers.get('Transfer-Encoding') != 'chunked': return self.rfile.read(int(self.headers.get('Content-Length') or 0))
        content = b''
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def do(self):
        hub, path, content = self.server, unquote(urlsplit(self.path).path), self.body()
        hub.calls.append((self.command, path))
        if path == '/api/repos/create': return self.create(json.loads(content))
        if path == '/api/validate-yaml': return self.answer(200, {'errors': [], 'warnings': []})
        if found := re.fullmatch('/lfs/([0-9a-f]{64})', path): return self.store(found[1], content)
        found = re.fullmatch(r'/(?:api/models/)?([^/]+/[^/]+?)(?:\.git/info/lfs/objects/(batch)|/(revision|tree|preupload|commit|resolve)/([^/]+)(?:/(.*))?)?', path)
        if not found: return self.refuse(404, 'EntryNotFound', f'no such call: {path}')
        name, batch, what, revision, file = found.groups()
        if name not in hub.repos or hub.repos[name]['private'] and self.token() not in hub.readers:
            return self.refuse(401, 'RepoNotFound', 'Repository not found')
        if (batch or what in ('preupload', 'commit')) and self.token() not in hub.writers:
            return self.refuse(403, 'Forbidden', 'this token may not write')
        if batch: return self.batch(json.loads(content))
        commit = hub.files(name, revision or 'main')
        if not commit: return self.refuse(404, 'RevisionNotFound', 'Invalid rev id')
        getattr(self, what or 'revision')(name, commit, file, content)

    do_GET = do_HEAD = do_POST = do_PUT = do

    def create(self, asked):
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if self.token() not in self.server.readers: return self.refuse(401, 'Unauthorized', 'Invalid username or password.')
        if self.token() not in self.server.writers: return self.refuse(403, 'Forbidden', 'this token may not write')
        if name in self.server.repos: return self.answer(409, {'error': 'You already created this model repo', 'url': f'{self.server.url}/{name}'})
        private = asked.get('private', asked.get('visibility') == 'private')
        self.server.repos[name] = dict(private=private, commits=[('0'*40, {'.gitattributes': b''})])
        self.answer(200, {'url': f'{self.server.url}/{name}', 'name': name, 'id': name})

    def store(self, oid, content):
        if hashlib.sha256(content).hexdigest() != oid: return self.refuse(400, 'BadRequest', 'wrong checksum')
        self.server.objects[oid] = content
        self.answer(200, {})

    def batch(self, asked):
        def action(o): return {'oid': o['oid'], 'size': o['size'], 'actions': {'upload': {'href': f"{self.server.url}/lfs/{o['oid']}"}}}
        self.answer(200, {'transfer': 'basic', 'objects': [action(o) for o in asked['objects']]})

    def revision(self, name, commit, file, content):
        self.answer(200, dict(id=name, modelId=name, sha=commit[0], private=self.server.repos[name]['private'], tags=[], downloads=0,
                              siblings=[{'rfilename': f} for f in commit[1]]))

    def tree(self, name, commit, file, content):
        self.answer(200, [dict(type='file', path=f, size=len(c), oid=sha1(c)) for f, c in commit[1].items()])

    def preupload(self, name, commit, file, content):
        def mode(f): return 'lfs' if f['path'].endswith(('.safetensors', '.png')) else 'regular'
        self.answer(200, {'files': [{'path': f['path'], 'uploadMode': mode(f), 'shouldIgnore': False} for f in json.loads(content)['files']]})

    def commit(self, name, commit, file, content):
        files = dict(commit[1])
        for line in map(json.loads, content.splitlines()):
            value = line['value']
            if line['key'] == 'file': files[value['path']] = base64.b64decode(value['content'])
            if line['key'] == 'lfsFile': files[value['path']] = self.server.objects[value['oid']]
            if line['key'] == 'deletedFile': files.pop(value['path'])
        commits = self.server.repos[name]['commits']
        commits.append((hashlib.sha1(repr(sorted(files.items())).encode() + b'%d' % len(commits)).hexdigest(), files))
        self.answer(200, {'success': True, 'commitOid': commits[-1][0], 'commitUrl': f'{self.server.url}/{name}/commit/{commits[-1][0]}'})

    def resolve(self, name, commit, file, content):
        if file not in commit[1]: return self.refuse(404, 'EntryNotFound', 'Entry not found')
        found = commit[1][file]
        self.answer(200, found, ETag=f'"{sha1(found)}"', X_Repo_Commit=commit[0], Accept_Ranges='bytes')
