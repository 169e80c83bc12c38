import { type Rule, smallerFor } from '../audit.ts';

/** Below a home: keys, passwords, letters, and what browsers keep. */
const below = ['.ssh', '.gnupg', '.password-store', '.aws', '.kube', '.config', '.mozilla', '.thunderbird', '.local/share/keyrings', '.netrc', '.bash_history'];
const ofSystem = ['/etc/shadow', '/etc/ssh', '/root', '/etc/ssl/private', '/var/lib/NetworkManager', '/etc/NetworkManager/system-connections'];

export default {
  summary: 'folders with what is private are bound: homes, keys, passwords, the profiles of browsers',
  look(known) {
    const isPrivate = (path: string) => path === '/' || /^\/(home(\/[^/]+)?|root|etc|var(\/lib)?)$/.test(path) || path === known.host.home || ofSystem.some((one) => path === one || (path.startsWith(`${one}/`) && one !== known.host.home))
      || below.some((name) => new RegExp(`^(/home/[^/]+|/root|${known.host.home.replace(/[^\w/-]/g, '\\$&')})/${name.replaceAll('.', '\\.')}(/|$)`).test(path));
    return known.binds.filter(({ is: { from } }) => isPrivate(from)).map(({ is: { from }, where }) => ({
      can: 'secrets', where, what: `programs inside can read what is in ${from}${known.hostRoot?.is === false ? ', as far as the id that they have on the host may' : ''}, and send it away where they have a network`, ...smallerFor(known, { nestbox: 'the one folder that is needed, or a folder made for it', nspawn: 'the one folder that is needed', lxc: 'the one folder that is needed' }, 'the rest of it'),
    }));
  },
} satisfies Rule;
