import assert from 'node:assert/strict';
import test from 'node:test';
import { fileOf } from '../pages.ts';
import { picture } from '../pictures.ts';
import { type Computer, newest, power } from './computer.ts';
import { home, keyboard, listens, logIn, plain, plugs, start, types } from './desktops.ts';
import { reads, wordsOn } from './screen.ts';
import { verified } from './verified.ts';

const visible = async (computer: Computer) => (await computer.does('cat', '/sys/class/tty/tty0/active')).trim();
const isVisible = (terminal: string) => ['grep', '-qx', terminal, '/sys/class/tty/tty0/active'];
/** What is written on the first text terminal of the host. */
const console = async (computer: Computer) => (await computer.get('/dev/vcs1')).replace(/\s+/g, ' ').trim();

for (const host of newest)
  test(`${host}: two desktops beside the host's own screen, each with its own picture and keys`, async (t) => {
    const computer = await power(t, host);
    const before = await console(computer);
    assert.match(before, /lab login:$/);

    await start(computer, 'work');
    await logIn(computer, plain('work'));
    await types(computer, plain('work'), 'first');
    await plugs(computer, 'work', 'all', 1);
    assert.equal(await visible(computer), 'tty8');
    const work = await computer.screen();

    await start(computer, 'private', '', 'all', fileOf('for-two-systems', 'private.toml'));
    await computer.until(...isVisible('tty9'));
    await reads(computer, /^(?![^]*first)[^]*ready/); // what is there until it draws is the picture of the other one, which is ready as well
    assert.equal(await visible(computer), 'tty9');
    await types(computer, plain('private'), 'second');
    await plugs(computer, 'private', 'all', 1);
    await verified(computer, 'work', 'private');
    picture('two-systems', work, await computer.screen());
    assert.match(await computer.does('nestbox', 'list'), /private +running .*terminal 9, visible.*\n.*work +running .*terminal 8 /);

    // Nothing that was typed at one has arrived at the other, nor at the host.
    assert.equal(await console(computer), before);
    await computer.does('nestbox', 'switch', 'work');
    await reads(computer, /first/);
    assert.doesNotMatch(await wordsOn(computer), /second/);
    await listens(computer, 'Xorg', keyboard);
    await types(computer, plain('work'), 'third');
    await computer.does('nestbox', 'switch', 'host');
    await reads(computer, /lab login/);
    await computer.type('nobody\n');
    await computer.until('sh', '-c', 'grep -q Password: /dev/vcs1');
    assert.match(await console(computer), /lab login: nobody Password:$/);
    assert.equal((await computer.does('ls', home(plain('work')), home(plain('private')))).match(/first|second|third|nobody/g)!.join(), 'second,first,third');

    // Also by the keys that everybody knows: Ctrl, Alt and F1 in a desktop, Alt and F8 on a text terminal.
    for (let i = 0; i < 5; i++) {
      await computer.press('alt-f8');
      await computer.until(...isVisible('tty8'));
      await listens(computer, 'Xorg', keyboard); // it has them again a moment later
      await types(computer, plain('work'), `switched${i}`);
      await computer.press('ctrl-alt-f1');
      await computer.until(...isVisible('tty1'));
    }
    await computer.does('nestbox', 'switch', 'private');
    await listens(computer, 'labwc', keyboard);
    await types(computer, plain('private'), 'again');
    await computer.press('ctrl-alt-f8');
    await computer.until(...isVisible('tty8'));
    await listens(computer, 'Xorg', keyboard);
    await types(computer, plain('work'), 'too');

    // One that hangs is left all the same.
    await computer.does('pkill', '-STOP', '-x', 'Xorg');
    await computer.does('nestbox', 'switch', 'host');
    await reads(computer, /lab login/);
    await computer.does('pkill', '-CONT', '-x', 'Xorg');

    // The screen of one that ends is given back.
    await computer.does('nestbox', 'switch', 'private');
    await computer.does('nestbox', 'stop', 'private');
    assert.notEqual(await visible(computer), 'tty9');
    await computer.does('nestbox', 'switch', 'work');
    await computer.does('nestbox', 'stop', 'work');
    assert.equal(await visible(computer), 'tty1');
    await reads(computer, /lab login/);
    assert.equal((await computer.does('ls', '/sys/class/vc')).match(/\bvcs[89]\b/g), null);
    assert.equal((await computer.run('ls', '/srv/desktops/work/etc/lightdm/lightdm.conf.d', '/srv/desktops/private/etc/systemd/system/seatd.service.d')).stdout, '');
  });
