import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { power } from './computer.ts';
import { differencesOf } from './verified.ts';

/**
 * The examples on a computer where systemd, cards and a screen are real: each that its plan allows there is as its file says. Those that the container ring has
 * verified already are left to NESTBOX_HOSTS=all.
 */

const folder = new URL('../../examples/', import.meta.url);
const needsComputer = ['banking', 'jukebox', 'kiosk', 'music', 'second-system', 'web-server'];

/** The lab's root in the place of its own, and what is there in the place of cards and nodes that are not. */
function onLab(text: string): string {
  const root = /^\[display\.vt\]|^\[seat\]/m.test(text) ? '/srv/desktops/work' : '/srv/roots/debian';
  return `${text.replace(/^\[root\][^[]*(\[(?!root)|$(?![\s\S]))/m, '$1').replace(/^users *= *"shift".*$/m, '').replace(/^run *=.*?(?=\n(\n|\w|\[|$))/ms, 'run = ["sleep", "1000"]').replace('"0000:01:00.0"', '0').replace('"/dev/input/event3", "/dev/input/event4", "/dev/tty7"', '"/dev/input/event0", "/dev/input/event1", "/dev/tty7"').replace('/dev/snd/midiC1D0', '/dev/snd/timer').replace('"USB"', '0').replace(/^\[foreign\][^[]*/m, '')}\n[root]\ndirectory = "${root}"\n`;
}

test('trixie: the examples that need a whole computer are as their files say', async (t) => {
  const computer = await power(t, 'trixie');
  await computer.does('sh', '-ec', 'mkdir -p /mnt/games /srv/share /opt/legacy /root/Recordings; touch /tmp/person; Xvfb :5 -auth /tmp/person > /dev/null 2>&1 & until test -S /tmp/.X11-unix/X5; do sleep 0.1; done');
  const names = readdirSync(folder).map((name) => name.replace(/\.toml$/, '')).filter((name) => process.env.NESTBOX_HOSTS === 'all' || needsComputer.includes(name));
  const [ran, wrong]: string[][] = [[], []];
  for (const name of names) {
    const text = onLab(readFileSync(new URL(`${name}.toml`, folder), 'utf8'));
    const machine = /^name *= *"(.*)"/m.exec(text)![1]!;
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
