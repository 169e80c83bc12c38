import assert from 'node:assert/strict';
import test from 'node:test';
import { asRoot, readKept } from '../../src/elevation.ts';
import { pulseSockets } from '../../src/sounds.ts';

const session = { DISPLAY: ':0', XAUTHORITY: '/run/user/1000/x y', WAYLAND_DISPLAY: '', PULSE_SERVER: undefined, LD_PRELOAD: '/evil.so', NODE_OPTIONS: '--require=/evil.js', PATH: '/evil', HOME: '/home/p' };

test('root is told how the display and the sound of the person are reached, where they are, and nothing else', () => {
  const argv = asRoot('/usr/bin/pkexec', ['/usr/bin/nestbox'], session, '/home/p/my files', ['run', 'steam.toml', '--', '--keep', 'DISPLAY=:9']);
  assert.deepEqual(argv, ['/usr/bin/pkexec', '/usr/bin/nestbox', '--keep', 'PWD=/home/p/my files', '--keep', 'DISPLAY=:0', '--keep', 'XAUTHORITY=/run/user/1000/x y', 'run', 'steam.toml', '--', '--keep', 'DISPLAY=:9']);
  assert.deepEqual(readKept(argv.slice(2)), { words: ['run', 'steam.toml', '--', '--keep', 'DISPLAY=:9'], folder: '/home/p/my files', env: { DISPLAY: ':0', XAUTHORITY: '/run/user/1000/x y' } });
});

test('nothing else is taken from such options', () => {
  assert.deepEqual(readKept(['--keep', 'LD_PRELOAD=x', '--keep', 'NODE_OPTIONS=x', '--keep', 'nonsense', '--keep', 'DISPLAY=a\nb', 'list']), { words: ['list'], folder: null, env: { DISPLAY: 'a\nb' } });
  assert.deepEqual(readKept(['list', '--keep', 'DISPLAY=:0']), { words: ['list', '--keep', 'DISPLAY=:0'], folder: null, env: {} });
  assert.deepEqual(readKept(['--keep']), { words: [], folder: null, env: {} });
});

test('of a PULSE_SERVER the sockets count, and no text that a module would read as more than a path', () => {
  assert.deepEqual(pulseSockets('unix:/run/user/1000/pulse/native'), ['/run/user/1000/pulse/native']);
  assert.deepEqual(pulseSockets('{f00d}unix:/tmp/pulse-x/native tcp:there:4713 /home/p/.pulse_socket there'), ['/tmp/pulse-x/native', '/home/p/.pulse_socket']);
  assert.deepEqual(['', 'tcp4:127.0.0.1', 'unix:relative', 'unix:/a"b', 'unix:/a=b', "unix:/a'b", 'unix:/a;b'].flatMap(pulseSockets), []);
});
