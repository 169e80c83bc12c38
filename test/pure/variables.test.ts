import assert from 'node:assert/strict';
import { test } from 'node:test';
import { variablesOf } from '../../src/variables.ts';

/** Where the sessions of a machine that boots are told its variables. */

const told = (environment: Record<string, string>, init: 'systemd' | 'other' = 'systemd', displayManager = false) =>
  Object.fromEntries(variablesOf(environment, init, 1000, displayManager).map(({ path, text }) => [path, text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).join('\n')]));

test('a value is quoted as each reader takes quotes off', () => {
  const files = told({ SHOWN: 'it\'s "a" $b `c` \\d %n' });
  assert.equal(files['/etc/profile.d/nestbox.sh'], "export SHOWN='it'\\''s \"a\" $b `c` \\d %n'");
  assert.equal(files['/etc/X11/Xsession.d/10nestbox'], files['/etc/profile.d/nestbox.sh']);
  assert.equal(files['/etc/environment.d/60-nestbox.conf'], 'SHOWN="it\'s \\"a\\" \\$\\$b \\`c\\` \\\\d %n"');
  assert.equal(files['/etc/systemd/system.conf.d/60-nestbox.conf'], '[Manager]\nDefaultEnvironment="SHOWN=it\'s \\"a\\" $b `c` \\\\d %%n"');
});

test('no variables, no files; and none of systemd for another init', () => {
  assert.deepEqual(told({}), {});
  assert.deepEqual(Object.keys(told({ PULSE_SERVER: 'unix:/x', DISPLAY: ':10' }, 'other')), ['/etc/profile.d/nestbox.sh', '/etc/X11/Xsession.d/10nestbox']);
});

test('a display is told to the services of the system and to the manager of its account, where no display manager is', () => {
  const display = { DISPLAY: ':10', XAUTHORITY: '/run/nestbox/xauth' };
  const system = '/etc/systemd/system';
  const files = told({ ...display, PULSE_SERVER: 'unix:/x' });
  for (const path of ['/etc/X11/Xsession.d/10nestbox', '/etc/environment.d/60-nestbox.conf']) assert.doesNotMatch(files[path]!, /DISPLAY|XAUTHORITY/);
  assert.equal(files[`${system}.conf.d/60-nestbox.conf`]?.match(/DISPLAY|XAUTHORITY/g)?.length, 2);
  for (const unit of ['user@', 'display-manager']) assert.equal(files[`${system}/${unit}.service.d/60-nestbox.conf`], '[Service]\nUnsetEnvironment=DISPLAY XAUTHORITY');
  assert.equal(files[`${system}/user@1000.service.d/61-nestbox.conf`], '[Service]\nUnsetEnvironment=');
  assert.equal(told(display, 'systemd', true)[`${system}/user@1000.service.d/61-nestbox.conf`], undefined);
  assert.match(files['/etc/profile.d/nestbox.sh']!, /^export PULSE_SERVER='unix:\/x'\ncase .*\n.*\n.*\nif .* && \[ -r '\/run\/nestbox\/xauth' \]; then\nexport DISPLAY=':10'\nexport XAUTHORITY='\/run\/nestbox\/xauth'\nfi\n;;\nesac$/);
});
