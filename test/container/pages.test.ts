import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { decodePng } from '../../src/png.ts';
import { connectX, screenshot } from '../../src/x11.ts';
import { diskImage } from '../disk-images.ts';
import { folder, follow, nestbox, program, type Running } from '../nestbox.ts';
import { blocksOf, isSaid, pageText, typedIn } from '../pages.ts';
import { picture } from '../pictures.ts';
import { processesOf, says, tinyRoot } from '../roots.ts';
import { hasPulseAudio, person, personAt } from '../sound-server.ts';
import { createWindow, startXvfb, writeXauthorityFile } from '../x11-client.ts';

/** The pages for each kind of person, followed as they are written: their files, and their commands in their order. Those that need a whole system are followed in the lab. */

/** What is left of a machine: snapshots of the whole host are compared where each kind of machine has its own tests. */
const remains = (name: string): string[] => [
  ...[`/etc/nestbox/${name}.toml`, `/run/nestbox/${name}`, ...['machines', 'scratch', 'journal'].map((kind) => `/var/lib/nestbox/${kind}/${name}`)].filter((path) => existsSync(path)),
  ...readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => new RegExp(`/(nestbox|machines|propagate)/${name}[/ ]`).test(line)),
  ...processesOf(name).map(({ command }) => command),
];

/** Goes through a page in a folder of its own; `/srv` of the page is there too. `seen` is told of each command that has been done. */
async function follows(t: TestContext, page: string, machine: string, at: string, env: NodeJS.ProcessEnv, { only = () => true, seen = async () => {} }: { only?: (command: string) => boolean; seen?: (command: string) => Promise<void> } = {}): Promise<void> {
  const forget = () => nestbox(['rm', machine]); // of a test that was cut off
  forget();
  t.after(forget);
  const here = (text: string) => text.replaceAll(/(?<![\w/])\/srv\//g, `${at}/srv/`);
  mkdirSync(`${at}/bin`);
  writeFileSync(`${at}/bin/nestbox`, `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`, { mode: 0o755 });
  const options = { cwd: at, env: { ...process.env, ...env, PATH: `${at}/bin:${process.env.PATH}` } };
  let behind: Running | null = null;
  for (const block of blocksOf(pageText(`docs/${page}.md`))) {
    if (block.file) writeFileSync(`${at}/${block.file}`, here(block.text));
    for (const { command, said, line } of typedIn(block).filter(({ command }) => only(command))) {
      const where = `docs/${page}.md:${line}: ${command}`;
      if (command.endsWith(' &')) {
        behind = follow(t, spawn('sh', ['-c', `exec ${here(command.slice(0, -2))}`], { ...options, stdio: ['ignore', 'pipe', 'pipe'] }));
        continue;
      }
      const does = () => spawnSync('sh', ['-c', here(command)], { ...options, encoding: 'utf8', timeout: 900_000, input: '' });
      let done = does();
      // A person waits until it is there, too.
      for (const limit = Date.now() + 900_000; behind?.child.exitCode === null && done.status !== 0 && Date.now() < limit; done = does()) await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(done.status, 0, `${where}\n${done.stderr}${behind?.stderr() ?? ''}`);
      const found = done.stdout.replaceAll(`${at}/srv/`, '/srv/');
      assert.ok(isSaid(said, found), `${where}\n${found}`);
      await seen(command);
    }
  }
}

test('for a program that you do not trust: its window is seen, its music is heard, and nothing is left', async (t) => {
  if (!hasPulseAudio(t)) return;
  const size = { width: 700, height: 540 };
  const desktop = await startXvfb(t, size);
  if (!desktop) return;
  const host = personAt(t);
  await host.pulseAudio();
  const at = folder(t);
  writeXauthorityFile(`${at}/key`, desktop.key);
  chownSync(`${at}/key`, person, person);
  const env = { ...host.env, DISPLAY: `:${desktop.display}`, XAUTHORITY: `${at}/key` };
  const x = await connectX(desktop);
  t.after(() => x.close());
  await createWindow(x, { x: 0, y: 0, ...size, background: 0x4a6984 });
  await follows(t, 'for-a-program', 'game', at, env, {
    async seen(command) {
      if (!command.startsWith('nestbox screenshot')) return;
      const own = () => decodePng(readFileSync(`${at}/game.png`));
      const colours = () => { const { rgb } = own(); return new Set(Array.from({ length: rgb.length / 3 }, (_, i) => rgb.readUIntBE(i * 3, 3))).size; };
      for (const limit = Date.now() + 120_000; colours() < 1000; ) { // its first picture is black
        assert.ok(Date.now() < limit, `${colours()} colours`);
        spawnSync(`${at}/bin/nestbox`, ['screenshot', 'game', `${at}/game.png`]);
      }
      for (const limit = Date.now() + 120_000; (await host.played()).samples.every((sample) => Math.abs(sample) < 500); ) assert.ok(Date.now() < limit, 'nothing is heard');
      spawnSync('xdotool', ['search', '--name', '^game$', 'windowmove', '30', '30', 'windowsize', '640', '480'], { env: { ...process.env, ...env } });
      picture('game', await screenshot(x));
    },
  });
  assert.deepEqual(remains('game'), []);
});

test('for an image of another computer: it grows, its programs run, what they change stays, and it shrinks', async (t) => {
  const at = folder(t);
  mkdirSync(`${at}/srv/images`, { recursive: true });
  tinyRoot(`${at}/tree`);
  rmSync(`${at}/tree/etc/os-release`);
  writeFileSync(`${at}/tree/usr/lib/os-release`, 'PRETTY_NAME="Raspbian GNU/Linux 12 (bookworm)"\n');
  const image = diskImage(`${at}/srv/images/pi.img`, `${at}/tree`);
  await follows(t, 'for-a-card', 'pi', at, {});
  assert.ok(existsSync(`${image.path}.zst`));
  assert.match(spawnSync('debugfs', ['-R', 'cat /etc/note', `${image.path}?offset=${image.start}`], { encoding: 'utf8' }).stdout, /^changed$/m);
  assert.deepEqual(remains('pi'), []);
});

test('for a container that is there already: the script is judged and taken over, and the directory stays as it was', async (t) => {
  const desktop = await startXvfb(t);
  if (!desktop) return;
  const at = folder(t);
  tinyRoot(`${at}/srv/old`);
  mkdirSync(`${at}/srv/shared`, { recursive: true });
  for (const path of [at, `${at}/srv`]) says('chmod', '0755', path);
  writeXauthorityFile(`${at}/key`, desktop.key);
  const tree = () => says('find', `${at}/srv/old`, '-printf', '%P %m %u %s\n');
  const before = tree();
  await follows(t, 'for-an-old-container', 'old', at, { DISPLAY: `:${desktop.display}`, XAUTHORITY: `${at}/key` }, { only: (command) => command.includes('old') });
  assert.deepEqual([remains('old'), tree()], [[], before]);
});
