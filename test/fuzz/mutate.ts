/** Texts that somebody has spoiled, or means harm with: of texts that are good or bad already, with changes by chance. */

/** What means something to one of the readers, and what breaks lines, quotes and numbers. */
const tokens = [
  '\n', '\r\n', '\r', '\0', '\t', '\\', '\\\n', '"', "'", '"""', "'''", '`', '$', '${', '}', '$(', ')', '${A:-', '${A[@]}', '$A', '[', ']', '[[', '{', '(', '=', ' = ', ':', ',', '#', ';', '~', '%i', '%%', '*', '&a', '*a', '!!', '<<EOF\n', 'EOF\n', '|', '&&', '>', '@',
  '\u001b[2J', '\u007f', '\u0085', '\u2028', '\ufeff', '\ue000', '\ue001', '\ud800', '\udc00', 'é', '中', '💥', '-1', '0', '99999999999999999999', '1e999', '0x10', 'nan', 'inf', 'true', 'false', 'null', '__proto__', 'constructor', 'toString', 'hasOwnProperty', '../', '/', '//', '~/', '/dev/', '/dev/null', '\u0000'.repeat(3),
  'systemd-nspawn ', 'sudo ', 'sh -c ', '-D ', '--bind=', '--setenv=', 'A=', 'A+=', 'A=(', 'for A in ', 'if ', 'fi', 'done', '[Exec]\n', '[Files]\n', '[Network]\n', '[Service]\n', 'Bind=', 'Environment=', 'DeviceAllow=', 'ExecStart=', 'lxc.', 'lxc.net.0.type = veth\n', 'lxc.network.type = veth\n', 'lxc.mount.entry = ', 'lxc.idmap = u 0 ', 'cdiVersion: ', 'devices:\n', '- name: ', 'name = ', '[root]\n', 'directory = ', 'files = ',
];

/** Nobody has a configuration that is longer, and a longer one is refused. */
const longest = 60_000;

/** Of a text that is longer mostly a part is taken: what is changed in it is what counts, and all the rest takes its time. */
const enough = 400;

/** `next`: numbers from 0 up to 1. */
export function mutated(texts: readonly string[], next: () => number): string {
  const number = (below: number) => Math.floor(next() * below);
  const one = <T>(all: readonly T[]): T => all[number(all.length)]!;
  let text = one(texts);
  if (text.length > enough && next() < 0.9) {
    const from = text.lastIndexOf('\n', number(text.length - enough)) + 1;
    text = text.slice(from, from + enough);
  }
  for (let count = 1 + number(6); count > 0; count--) {
    const at = number(text.length + 1);
    const length = number(next() < 0.8 ? 12 : text.length - at + 1);
    const [before, part, after] = [text.slice(0, at), text.slice(at, at + length), text.slice(at + length)];
    switch (number(9)) {
      case 0: text = before + after; break;
      case 1: text = before + one(tokens) + part + after; break;
      case 2: text = before + one(tokens) + after; break;
      case 3: text = before + part + part + after; break;
      case 4: text = before + String.fromCharCode(number(next() < 0.7 ? 128 : 0x10000)) + after; break;
      case 5: {
        // No further than is kept: thousands of times a long part are hundreds of megabytes, to be thrown away.
        const times = 1 + number(next() < 0.97 ? 5 : 3000);
        text = before + part.repeat(Math.min(times, Math.ceil(longest / (part.length || 1)))) + after;
        break;
      }
      case 6: {
        const other = one(texts);
        const from = number(other.length);
        text = before + other.slice(from, from + number(400)) + after;
        break;
      }
      case 7: text = next() < 0.1 ? before : text; break;
      default: text = `${before}${one(tokens)}${one(tokens)}${one(tokens)}${after}`;
    }
    if (text.length > longest) text = text.slice(0, longest);
  }
  return text;
}
