/** Which commands belong together, each with lines that can be typed as they are: help and the manual pages are made from this. */

/** A command line, and what it does. */
export type Example = readonly [line: string, does: string];

export interface Group {
  /** Of its manual page: nestbox-NAME(1). */
  name: string;
  title: string;
  about: string;
  commands: Record<string, readonly Example[]>;
}

export const groups: readonly Group[] = [
  {
    name: 'machines', title: 'make, run and remove machines', about: 'A machine is described by one file, nestbox.toml(5). It can be run from that file as it is, or made first and then be called by its name.',
    commands: {
      run: [['sudo nestbox run steam.toml', 'the program that its file names, with all that it is given; all is taken back at its end'], ['sudo nestbox run steam -- glxinfo -B', 'another program in it'], ['sudo nestbox run raspios.img.xz', 'a shell in what is on a disk image']],
      create: [['sudo nestbox create steam.tar.zst', 'from an archive of another computer'], ['sudo nestbox create steam.toml', 'makes its root, and installs the file as /etc/nestbox/steam.toml']],
      plan: [['nestbox plan steam.toml', 'each mount, file, key and program of a run, with the line of the file that asked for it'], ['nestbox plan --json steam', 'the same for programs']],
      import: [['nestbox import /etc/systemd/nspawn/web.nspawn', 'with the drop-ins of its unit, which it finds'], ['nestbox import start.sh -o steam.toml', 'a script that calls systemd-nspawn; nothing of it is run'], ['nestbox import -- systemd-nspawn -D /srv/old -b', 'a command as it is typed']],
      list: [['nestbox list', 'all machines, and which of them run']],
      status: [['nestbox status steam', 'what it is made of, and what would be taken back']],
      export: [['sudo nestbox export steam', 'the programs that it offers'], ['sudo nestbox export steam steam', "into your menu, with a command steam-steam in ~/.local/bin"], ['nestbox export steam --remove', 'out of it'], ['sudo nestbox export steam --archive steam.tar.zst', 'to be taken to another computer']],
      templates: [['sudo nestbox templates', 'how large they are, and whose'], ['sudo nestbox templates --prune', 'removes those that no machine is made from']],
      rm: [['sudo nestbox rm steam', 'the machine, its file, and all that it has changed']],
      clean: [['sudo nestbox clean', 'after a crash of the computer, or of nestbox']],
    },
  },
  {
    name: 'services', title: 'have systemd run machines', about: 'systemd runs such a machine as a service, systemd-nspawn@NAME.service, with no process of nestbox beside it: machinectl(1), systemctl(1) and journalctl(1) work on it as well.',
    commands: {
      start: [['sudo nestbox start web-server.toml', 'makes it if it is not there, and returns when it is ready'], ['sudo nestbox start work --passphrase-fd 3 3< key', 'opens its encrypted root without a question']],
      stop: [['sudo nestbox stop web-server', 'and all that systemd was given for it is taken back, unless it is enabled']],
      restart: [['sudo nestbox restart web-server', 'after its file has been changed']],
      enable: [['sudo nestbox enable --now web-server', 'from now on, and whenever the computer comes up']],
      disable: [['sudo nestbox disable web-server', 'it goes on running, and does not come up any more']],
      logs: [['nestbox logs -f web-server', 'what it writes, as it is written'], ['nestbox logs -n 20 --host web-server', 'what this host has to say of it']],
      render: [['nestbox render web-server.toml', 'the .nspawn file, the units and their drop-ins']],
    },
  },
  {
    name: 'inside', title: 'programs, screens and devices of machines that run', about: 'These work on a machine that runs, whoever has started it: nestbox run or systemd.',
    commands: {
      exec: [['sudo nestbox exec steam ls -l', "as the machine's own user"], ['sudo nestbox exec --root steam apt update', 'as root inside']],
      shell: [['sudo nestbox shell work', "a login shell of the machine's own user"], ['sudo nestbox shell work root', 'of root inside']],
      attach: [['sudo nestbox attach steam /dev/input/js0', 'until it ends'], ['sudo nestbox attach --always steam /dev/ttyUSB0', 'at each start']],
      detach: [['sudo nestbox detach steam /dev/input/js0', 'programs that have it open already keep it']],
      why: [['nestbox why steam /dev/video0', 'the layer that keeps it from being opened, and the line that would change that']],
      verify: [['sudo nestbox verify steam', 'what was asked, what is given, and what was found; what differs, the layer that it comes from, and what mends it'], ['sudo nestbox verify --json steam', 'for scripts: exit status 3 where something differs']],
      switch: [['sudo nestbox switch work', 'the desktop of a machine'], ['sudo nestbox switch host', 'and back']],
      screenshot: [['sudo nestbox screenshot steam steam.png', 'what is on its display']],
    },
  },
  {
    name: 'images', title: 'disk images, and roots that others have made', about: 'Disk images are read and written without the kernel looking at their tables. What is cut off half way is finished or taken back: nestbox clean.',
    commands: {
      image: [['nestbox image info raspios.img', 'its table, and what is in it'], ['sudo nestbox image grow raspios.img +2G', 'with the file system in it'], ['sudo nestbox image shrink --dry-run raspios.img', 'what would be done'], ['sudo nestbox image mount raspios.img /mnt', 'to look at it']],
      unshift: [['sudo nestbox unshift --dry-run /srv/old-root', 'how many files have lost their owners to systemd-nspawn'], ['sudo nestbox unshift /srv/old-root', 'gives them back']],
    },
  },
  {
    name: 'host', title: 'this host, and help', about: 'What is known of this host, and what the words of machine files mean.',
    commands: {
      audit: [['nestbox audit steam.toml', 'what a hostile program in it could do, worst first'], ['nestbox audit --all', 'a line for each machine and container'], ['nestbox audit --fail-above contained steam.toml', 'exit status 3 where it could do more']],
      seats: [['nestbox seats', 'screens, keyboards and sound cards, and whose they are']],
      seat: [['sudo nestbox seat new', 'asks for a key on each keyboard of the new seat, and prints the table for its file']],
      doctor: [['nestbox doctor', 'what works, what is missing, and the commands that mend it'], ['nestbox doctor --json > host.json', 'with all facts that plans are made from, and without names: to be attached to a report']],
      completion: [['nestbox completion bash | sudo tee /etc/bash_completion.d/nestbox', 'for all users of bash'], ['nestbox completion zsh > ~/.zfunc/_nestbox', 'in a folder of $fpath'], ['nestbox completion fish > ~/.config/fish/completions/nestbox.fish', 'for one user of fish']],
      help: [['nestbox help run', 'the options of a command'], ['nestbox help display', 'the kinds of a topic'], ['nestbox help display.nested', 'one of them, with its options']],
    },
  },
];

/** Lines that show a command at work. */
export const examplesOf = (command: string): readonly Example[] => groups.find(({ commands }) => Object.hasOwn(commands, command))?.commands[command] ?? [];
