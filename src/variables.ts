import type { Text } from './edits.ts';
import { assignment, iniText } from './ini.ts';

/**
 * Where the sessions of a machine that boots find its variables. What systemd-nspawn sets reaches the first process alone; who logs in gets what
 * the root's own settings say, so these are said there as well: in files of their own, and in none that a root has.
 */

/** They lead to a display. A session that has brought one along (a display manager's, one at a seat, ssh with X forwarding) keeps that. */
const ofDisplay = ['DISPLAY', 'XAUTHORITY', 'WAYLAND_DISPLAY'];

/** Of /etc/profile.d, /etc/X11/Xsession.d: 'it'\''s' */
const shellWord = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Of environment.d(5): quotes are taken off first, then `$` begins a variable and `$$` is a dollar. */
const environmentWord = (text: string): string => `"${text.replaceAll('$', '$$$$').replace(/["\\`$]/g, '\\$&')}"`;

const comment = 'Written by nestbox, there while the machine runs: the variables of its machine file.';

/**
 * The files that say them. `uid`: of the machine's user, who alone may read the key of the display; `displayManager`: whether the root starts one,
 * whose sessions begin with what systemd has told the user's own manager.
 */
export function variablesOf(environment: Record<string, string>, init: 'systemd' | 'other', uid: number, displayManager: boolean): Text[] {
  const all = Object.entries(environment);
  if (all.length === 0) return [];
  const shown = all.filter(([name]) => ofDisplay.includes(name));
  const plain = all.filter(([name]) => !ofDisplay.includes(name));
  const exports = (variables: typeof all) => variables.map(([name, value]) => `export ${name}=${shellWord(value)}\n`).join('');
  const key = environment.XAUTHORITY;
  const display = shown.length === 0 ? '' : [
    'case "${XDG_SESSION_TYPE-}" in', 'x11 | wayland | mir) ;;', '*)',
    `if [ -z "\${DISPLAY-}\${WAYLAND_DISPLAY-}\${XDG_VTNR-}" ]${key === undefined ? '' : ` && [ -r ${shellWord(key)} ]`}; then`,
    `${exports(shown)}fi`, ';;', 'esac\n',
  ].join('\n');
  const settings = (path: string, section: string, lines: [string, string][]): Text => ({ path, text: iniText([comment], [[section, lines]]) });
  const forget: [string, string][] = [['UnsetEnvironment', shown.map(([name]) => name).join(' ')]];
  return [
    // Shells of a login: at a console, by su - and by ssh.
    { path: '/etc/profile.d/nestbox.sh', text: `# ${comment}\n${exports(plain)}${display}` },
    // X sessions of a display manager, where the distribution is Debian's: what is sourced later may change them.
    ...(plain.length === 0 ? [] : [{ path: '/etc/X11/Xsession.d/10nestbox', text: `# ${comment}\n${exports(plain)}` }]),
    ...(init === 'other' ? [] : [
      // Services of the system, and what its bus starts; also the managers of the users, which hand on all that they have.
      settings('/etc/systemd/system.conf.d/60-nestbox.conf', 'Manager', all.map(([name, value]) => ['DefaultEnvironment', assignment(name, value)])),
      // Those managers again, with what the buses of the users start, and display managers that ask as they do.
      ...(plain.length === 0 ? [] : [{ path: '/etc/environment.d/60-nestbox.conf', text: `# ${comment}\n${plain.map(([name, value]) => `${name}=${environmentWord(value)}\n`).join('')}` }]),
      ...(shown.length === 0 ? [] : [
        settings('/etc/systemd/system/display-manager.service.d/60-nestbox.conf', 'Service', forget),
        settings('/etc/systemd/system/user@.service.d/60-nestbox.conf', 'Service', forget),
        ...(displayManager ? [] : [settings(`/etc/systemd/system/user@${uid}.service.d/61-nestbox.conf`, 'Service', [['UnsetEnvironment', '']])]), // takes the one before back
      ]),
    ]),
  ];
}
