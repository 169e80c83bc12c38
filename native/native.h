/* What the jobs of nestbox-native share. */
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Prints "nestbox-native: ...: strerror" and exits with 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Words for people, on standard error: the first line what is wrong, the others what to do. refuse() ends the program with them. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Milliseconds, of a clock that never goes back. */
long long now(void);

/* How many processors this process may use besides the one that it is on. */
int other_processors(void);

/* FNV-1a of 64 bits (RFC 9923), of bytes that follow those of which `hash` is; the first follow FNV1A_BEGIN. It keeps mistakes apart and no attackers. */
#define FNV1A_BEGIN 0xcbf29ce484222325u
uint64_t fnv1a(uint64_t hash, const void *bytes, size_t length);

/* Where programs are looked for by those that we start, and the variable that says so. */
#define PROGRAM_FOLDERS "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define CLEAN_PATH "PATH=" PROGRAM_FOLDERS

/* A number in [0, 2^32) written in decimal, or the end of the program. */
uint32_t number(const char *text, const char *what);

void ignore_sync(void);

/* Loads the system call filters that the systemd-nspawn in `argv`, whose first word is its path, would make; they are kept in `folder`, and made where they are not
 * there or of another one. 1: it has to be started with SYSTEMD_SECCOMP=0 now, and by this process. 0: nothing is done, and it makes its own. */
int load_filters(const char *folder, char **argv);

/* Puts this process into a control group, or ends it. */
void join_group(const char *group);

/* The same of an IPC namespace, that is kept at this path. */
void join_ipc(const char *path);

/* Waits until `is_there` says so of the path: 1; or until so many seconds are over: 0. No limit: -1. */
int await_change(const char *path, int (*is_there)(const char *path), int seconds);

/* What is started under the name 'nestbox'. */
int front(int argc, char **argv);
_Noreturn void become_node(int argc, char **argv);

/* `nestbox list`, in these words. The exit status; -1: they are others. */
int list(int argc, char **argv);

/* A run without Node of a machine that is made, with the program that is named, or its own. The exit status; -1: it is one for Node, and
 * nothing has been done. `left`: something could not be taken back, which Node has to try again. */
int warm(const char *machine, const char *file, char **argv, int argc, int *left);

/* A machine from this file, over a template that is there, without Node. 0: it is made; -1: it is for Node, and what has been done is in the machine's journal. */
int create(const char *file);

/* Variables of the person's session that a nestbox which asks for root keeps. elevate() becomes what asks them, with these words after it; it returns where
 * nobody can be asked. */
extern const char *const kept_variables[];
void elevate(int argc, char **argv);

/* What is started under the name of another program, from the folder TOOLS: the host's own or the root's. */
#define TOOLS "/run/nestbox/tools/bin/"
int tool(const char *name, int argc, char **argv);

/* The next of that name in $PATH, as execvp(3) would find it without the folder that is ours. */
int find_own(const char *name, const char *ours, char *path, size_t size);

/* In the place of dpkg's own program while a root is built. */
int dpkg_deb(int argc, char **argv);

int activate_job(int argc, char **argv);
int ahead_job(int argc, char **argv);
int bind_job(int argc, char **argv);
int binfmt_job(int argc, char **argv);
int check_job(int argc, char **argv);
int chroot_job(int argc, char **argv);
int chroot_mounts_job(int argc, char **argv);
int chroot_unmount_job(int argc, char **argv);
int console_job(int argc, char **argv);
int deactivate_job(int argc, char **argv);
int each_job(int argc, char **argv);
int enter_job(int argc, char **argv);
int every_job(int argc, char **argv);
int first_job(int argc, char **argv);
int forget_devices_job(int argc, char **argv);
int forget_ports_job(int argc, char **argv);
int forwarding_job(int argc, char **argv);
int gate_job(int argc, char **argv);
int hold_job(int argc, char **argv);
int in_network_job(int argc, char **argv);
int inside_job(int argc, char **argv);
int ipc_job(int argc, char **argv);
int launch_job(int argc, char **argv);
int lease_job(int argc, char **argv);
int leftover_job(int argc, char **argv);
int lock_job(int argc, char **argv);
int loop_end_job(int argc, char **argv);
int loop_job(int argc, char **argv);
int mount_job(int argc, char **argv);
int narrow_job(int argc, char **argv);
int node_job(int argc, char **argv);
int on_lease_job(int argc, char **argv);
int overlay_job(int argc, char **argv);
int owners_job(int argc, char **argv);
int partition_job(int argc, char **argv);
int press_job(int argc, char **argv);
int pulse_gate_job(int argc, char **argv);
int x11_gate_job(int argc, char **argv);
int ready_job(int argc, char **argv);
int seal_job(int argc, char **argv);
int seat_job(int argc, char **argv);
int udev_relay_job(int argc, char **argv);
int unlock_job(int argc, char **argv);
int unmount_job(int argc, char **argv);
int verify_job(int argc, char **argv);
int update_job(int argc, char **argv);
int wait_job(int argc, char **argv);
