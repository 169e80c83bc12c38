import * as v from 'valibot';

/** Shapes that several keys of the machine file share. Their messages say what was expected, with an example. */

const printable = v.check<string, string>((text) => !/\p{Cc}/u.test(text), 'a line break or other control character cannot be passed on safely');

/** Any text of one line. */
export const line = v.pipe(v.string(), printable);

/** Of a machine: as in a host name, and in the name of a systemd unit; hostname(7), machine names in systemd-nspawn(1). */
export const machineName = v.pipe(v.string(), v.regex(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, 'expected lower-case letters, digits and hyphens, beginning with a letter, 63 at most, such as "steam"'));

export const hostName = v.pipe(v.string(), v.regex(/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/, 'expected a host name: letters, digits, hyphens and dots, 64 at most'));

/** What useradd(8) of the usual distributions accepts. */
export const userName = v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_-]{0,30}$/, 'expected a user name: lower-case letters, digits, _ and -, 31 at most'));

export const userId = v.pipe(v.number(), v.integer('expected a whole number'), v.minValue(1, 'expected a number from 1 to 65533'), v.maxValue(65533, 'expected a number from 1 to 65533'));

const noSteps = v.check<string, string>((path) => !path.split('/').includes('..') && !path.split('/').includes('.'), "expected a path without '.' and '..'");

/** An absolute path without . and .. in it. */
export const path = v.pipe(v.string(), printable, v.startsWith('/', 'expected an absolute path, beginning with /'), noSteps, v.transform((text: string) => (text.length > 1 ? text.replace(/\/+/g, '/').replace(/\/$/, '') : text)));

/** IFNAMSIZ in linux/if.h. */
export const bridgeName = v.pipe(v.string(), v.regex(/^(?!\.{1,2}$)[\w.-]{1,15}$/, 'expected the name of a bridge, such as "br0"'));

/** A path below /dev, or a class of devices as DeviceAllow= of systemd names it: char-alsa, block-loop, char-nvidia*. A name of /proc/devices may have slashes. */
export const device = v.pipe(v.string(), printable, v.regex(/^(\/dev\/.|(char|block)-[\w./*?[\]!^-]+$)/, 'expected a path below /dev, or a class of devices such as "char-alsa"'), noSteps, v.transform((text: string) => (text.startsWith('/') ? text.replace(/\/+/g, '/').replace(/\/$/, '') : text)));

/** An absolute path, or one below the home of the person who runs nestbox: ~/games. */
export const pathOrHome = v.pipe(v.string(), printable, v.regex(/^(\/|~\/|~$)/, 'expected an absolute path, or one that begins with ~/'), noSteps, v.transform((text: string) => (text.length > 1 ? text.replace(/\/+/g, '/').replace(/\/$/, '') : text)));

/** WIDTHxHEIGHT in pixels. */
const expectedSize = 'expected WIDTHxHEIGHT in pixels, such as "1280x800"';
export const size = v.pipe(v.string(expectedSize), v.regex(/^[1-9]\d{0,4}x[1-9]\d{0,4}$/, expectedSize));

const units = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** "512M", "2G": to bytes. */
const expectedBytes = 'expected a size with its unit, such as "512M" or "2G"';
export const bytes = v.pipe(
  v.string(expectedBytes),
  v.regex(/^[1-9]\d{0,5}(\.\d{1,3})?[KMGT]$/, expectedBytes),
  v.transform((text) => Math.round(Number.parseFloat(text) * units[text.at(-1) as keyof typeof units])),
);

/** The key's description: it goes into the JSON Schema, and so into an editor's completion. */
export const says = v.description;
