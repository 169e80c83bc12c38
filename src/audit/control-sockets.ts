import type { Rule } from '../audit.ts';
import { bound } from '../known.ts';

/** Services that run as root and start, for who reaches this socket, what they are told. */
const sockets = /^(\/var)?\/run\/(docker\.sock|podman(\/podman\.sock)?|containerd(\/containerd\.sock)?|crio(\/crio\.sock)?|libvirt(\/.*)?|systemd(\/private)?|snapd\.socket)$|^\/var\/lib\/(lxd|incus)(\/unix\.socket)?$|^(\/var)?\/run$/;

export default {
  summary: 'the socket of a service is bound that starts containers or programs as root for who reaches it: Docker, Podman, libvirt, incus',
  look: (known) => bound(known, sockets).map(({ is: { from }, where }) => ({
    can: 'root', where, what: `whoever may open ${from} has root of the host start a program of theirs`, smaller: { say: 'leave it out; a machine with boot = true can have a Docker of its own', loses: "the host's own containers" },
  })),
} satisfies Rule;
