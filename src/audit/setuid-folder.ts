import { type Rule, smallerFor } from '../audit.ts';

export default {
  summary: 'root inside is root of the host, and may write to a folder of the host: a set-user-id program that it leaves there works outside',
  look: (known) => (known.hostRoot?.is && known.asRoot?.is !== false ? known.binds.filter(({ is: { write, from } }) => write && !/^\/(dev|proc|sys|run|tmp\/\.X11-unix)(\/|$)/.test(from)).map(({ is: { from }, where }) => ({
    can: 'root', where, what: `root inside can leave a program in ${from} that makes everybody who starts it outside root of the host`, ...smallerFor(known, { nestbox: 'users = "own"', nspawn: 'PrivateUsers=pick', lxc: 'lxc.idmap, or nosuid among the options of the mount' }, 'files there that belong to root'),
  })) : []),
} satisfies Rule;
