/* Waiting for the disk is a waste while a root is built: after a power cut it is built anew, and what is whole is
 * written to the disk at once at the end. seccomp(2); systemd-nspawn --suppress-sync= does the same. */
#include "native.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined __x86_64__
#define OURS AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OURS AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define OURS AUDIT_ARCH_RISCV64
#endif

/* From here on and for all that is started, these succeed without doing anything. */
void ignore_sync(void) {
#ifdef OURS
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OURS, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsync, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fdatasync, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sync_file_range, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_syncfs, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sync, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO), /* with the error 0 */
	};
	struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
	/* Where the kernel has no filters it only takes longer. */
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
#endif
}
