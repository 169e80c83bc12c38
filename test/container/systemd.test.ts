import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { decodePng } from '../../src/png.ts';
import { boot } from '../booted.ts';
import { root } from '../nestbox.ts';

test('where systemd is PID 1, a machine is a scope and its host programs are units, and nothing of them is left', async (t) => {
  const host = await boot(t);
  writeFileSync(`${host.folder}/machine.toml`, `name = "a-b"\nuser = "tester"\nephemeral = true\nnetwork = "none"\naudio = "playback"\ndisplay = "headless"\nlimits = { tasks = 150 }\ndevices = ["/dev/granted"]
run = ["sh", "-c", "xlogo -geometry 200x200+50+50 -bg '#ff8800' -fg '#ff8800' & exec 3<>/dev/granted && echo opened; until xwininfo -name xlogo | grep -q IsViewable; do sleep 0.1; done; sleep 1; echo drawn; cat /proc/self/cgroup; sleep 60"]\n${root}`);
  const units = "systemctl list-units --all --no-legend --plain 'nestbox-*' 'machine-*.scope' | cut -d' ' -f1 | sort | tr '\\n' ' '";
  const files = 'find /run/nestbox /run/systemd/nspawn /var/lib/nestbox /tmp/.X11-unix -xdev 2>/dev/null | grep -v /templates/ | sort; grep nestbox/ /proc/self/mountinfo | grep -v templates';
  host.run('node /opt/nestbox/nestbox.cjs clean'); // the store's own folders
  assert.equal(host.run('mknod -m 0666 /dev/granted c 10 229').status, 0); // fuse, by a name of its own: /dev/fuse is the outer host's, and not always for everybody
  const before = host.run(files).output;

  const seen = host.run(`node /opt/nestbox/nestbox.cjs run /mnt/machine.toml > /mnt/out 2>&1 &
    n=0; until grep -qs drawn /mnt/out; do n=$((n + 1)); sleep 0.5; [ $n -lt 400 ] || break; done; node /opt/nestbox/nestbox.cjs screenshot a-b /mnt/shot.png
    ${units}; echo; machinectl list --no-legend; systemctl show -P TasksMax -P DevicePolicy 'machine-a\\x2db.scope'
    kill -KILL $!; wait $!; echo "killed"; ${units}; echo; node /opt/nestbox/nestbox.cjs clean; echo "cleaned $?"; for n in $(seq 100); do [ -n "$(${units})" ] || break; sleep 0.1; done; ${units}`); // systemd forgets a unit when it comes to that
  const out = readFileSync(`${host.folder}/out`, 'utf8');
  assert.match(seen.output, /machine-a\\x2db\.scope nestbox-a-b\.gate\.service nestbox-a-b\.pulseaudio\.service nestbox-a-b\.xvfb\.service/, out);
  assert.match(seen.output, /a-b\s+container\s+systemd-nspawn/);
  assert.match(seen.output, /150/);
  assert.match(seen.output, /closed/);
  assert.match(seen.output, /cleaned 0\n(Killed\n)?(nestbox: .*\n)?$/, seen.output);
  assert.match(out, /opened/);
  const { width, rgb } = decodePng(readFileSync(`${host.folder}/shot.png`));
  const at = (x: number, y: number) => rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3).toString('hex');
  assert.equal(at(150, 150), 'ff8800');
  assert.equal(at(400, 400), '000000');
  let after = host.run(files).output;
  for (const limit = Date.now() + 10_000; after !== before && Date.now() < limit; ) after = host.run(files).output; // of what was killed
  assert.equal(after, before);
});
