import { type Found, type Rule, smallerFor } from '../audit.ts';

/** What root of the host starts or reads by itself. */
const ofRoot = /^\/$|^\/(etc|usr|boot|efi|lib\w*|s?bin|root)(\/|$)|^\/opt$|^\/var(\/(cache|lib(\/(dpkg|systemd|machines))?|spool(\/.*)?))?$/;
/** What is started when the person logs in. */
const ofLogin = /^(\/home\/[^/]+|\/root)(\/(\.\w*(rc|profile|login|_profile)|\.config(\/(autostart|systemd|fish|environment\.d).*)?|\.local(\/bin|\/share(\/applications)?)?|bin|\.ssh))?$/;

export default {
  summary: 'folders from which the host starts programs may be written to: /etc, /usr, homes with their start-up files',
  look: (known) => known.binds.filter(({ is: { write } }) => write).flatMap(({ is: { from }, where }): Found[] => {
    const smaller = smallerFor(known, { nestbox: 'leave write out, or a folder that nothing is started from', nspawn: 'BindReadOnly=', lxc: 'ro among the options of the mount' }, 'changing what is in there');
    if (from === known.host.home || ofLogin.test(from)) return [{ can: 'session' as const, where, what: `programs inside can change what is started when you log in, in ${from}`, ...smaller }];
    // With ids of its own nothing there is theirs to change, unless everybody may.
    return ofRoot.test(from) && known.hostRoot?.is !== false && known.asRoot?.is !== false ? [{ can: 'root' as const, where, what: `root inside can change what the host starts as root, in ${from}`, ...smaller }] : [];
  }),
} satisfies Rule;
