import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { parse, stringify } from 'smol-toml';
import { power } from './computer.ts';
import { differencesOf } from './verified.ts';

/**
 * The examples on a computer where systemd, cards and a screen are real: each that its plan allows there is as its file says. Those that the container ring has
 * verified already are left to NESTBOX_HOSTS=all.
 */

const folder = new URL('../../examples/', import.meta.url);
const needsComputer = ['banking', 'jukebox', 'kiosk', 'music', 'second-system', 'web-server'];

interface Example {
  name: string;
  root: unknown;
  run?: unknown;
  foreign?: unknown;
  users?: string;
  devices?: string[];
  seat?: unknown;
  display?: { vt?: unknown };
  gpu?: { card?: { card?: unknown } };
  audio?: { alsa?: { card?: unknown } };
}

/** The lab's root in the place of its own, a program that waits, and what is there in the place of cards and nodes that are not. */
function onLab(name: string): { machine: string; text: string } {
  const { root: _, foreign: __, run, users, devices, ...file } = parse(readFileSync(new URL(`${name}.toml`, folder), 'utf8')) as unknown as Example;
  if (file.gpu?.card?.card) file.gpu.card.card = 0;
  if (file.audio?.alsa?.card) file.audio.alsa.card = 0;
  const text = stringify({
    ...file, ...(run !== undefined && { run: ['sleep', '1000'] }), ...(users === 'host' && { users }),
    ...(devices && { devices: devices.map((node) => node.replace(/event[34]$/, 'event0').replace('midiC1D0', 'timer')) }),
    root: { directory: file.display?.vt !== undefined || file.seat !== undefined ? '/srv/desktops/work' : '/srv/roots/debian' },
  });
  return { machine: file.name, text };
}

test('trixie: the examples that need a whole computer are as their files say', async (t) => {
  const computer = await power(t, 'trixie');
  await computer.does('sh', '-ec', 'mkdir -p /mnt/games /srv/share /opt/legacy /root/Recordings; touch /tmp/person; Xvfb :5 -auth /tmp/person > /dev/null 2>&1 & until test -S /tmp/.X11-unix/X5; do sleep 0.1; done');
  const names = readdirSync(folder).map((name) => name.replace(/\.toml$/, '')).filter((name) => process.env.NESTBOX_HOSTS === 'all' || needsComputer.includes(name));
  assert.deepEqual(needsComputer.filter((name) => !names.includes(name)), []);
  const ran: string[] = [];
  const wrong: string[] = [];
  for (const name of names) {
    const { machine, text } = onLab(name);
    await computer.write(`/root/${name}.toml`, text);
    const { status, stderr } = await computer.run('env', 'DISPLAY=:5', 'nestbox', 'start', `/root/${name}.toml`);
    if (status !== 0) {
      t.diagnostic(`${name} does not start here: ${stderr.trim()}`);
      if (needsComputer.includes(name)) wrong.push(`${name}: ${stderr}`);
      continue;
    }
    const { said } = await differencesOf(computer, machine);
    if (said !== '') wrong.push(`${name}: ${said}`);
    ran.push(name);
    await computer.does('nestbox', 'stop', machine);
    await computer.does('nestbox', 'rm', machine);
  }
  t.diagnostic(`ran: ${ran.join(' ')}`);
  assert.deepEqual(wrong, []);
});
