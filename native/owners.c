/* owners: gives the files of a tree other ids, 65536 of them at a time, and nothing else of them changes but the time of the change.
 * The tree is in a stranger's hands: each file is held by a descriptor that was opened by its name in the folder that is held, no link
 * is followed, and no mount is entered. What is done to a file is told from the ids that it has, so that a change that was cut off goes on
 * where it was; what the kernel takes from a file with its owner is in a file of notes, on the disk, before. */
#include "native.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>

#define RANGE 0x10000u
#define BUSY 0xfffe0000u /* nspawn-def.h of systemd: what the root folder belongs to while systemd-nspawn changes owners */
#define DEEPEST 2000     /* each level takes two descriptors */

static uint32_t from, to;

struct capabilities {
	size_t size; /* 0: none */
	unsigned char bytes[XATTR_CAPS_SZ_3];
};

struct file {
	int file; /* O_PATH: nothing is opened that would notice it */
	int top;
	char self[32]; /* by which calls that know no descriptor find the file itself, never what is at its path by now */
	struct statx stat;
	struct capabilities capabilities;
	int lists; /* which access lists it has */
};

enum { ACCESS_LIST = 1, DEFAULT_LIST = 2 };
static const char capabilities_name[] = "security.capability";
static const char *const list_names[] = { "system.posix_acl_access", "system.posix_acl_default" };

/* Where in the tree the work is, for messages. */
static char path[8192];
static size_t path_length;

static const char *here(void) {
	return path_length ? path + 1 : ".";
}

static uint32_t mapped(uint32_t id, int top) {
	if (id - from < RANGE)
		return to + (id - from);
	return top && id - BUSY < RANGE ? to + (id - BUSY) : id;
}

static int is_pending(const struct file *file) {
	return mapped(file->stat.stx_uid, file->top) != file->stat.stx_uid || mapped(file->stat.stx_gid, file->top) != file->stat.stx_gid;
}

/* The kernel takes these from a file that gets another owner: chown(2), capabilities(7). Folders keep theirs. */
static int is_fragile(const struct file *file) {
	return !S_ISDIR(file->stat.stx_mode) && ((file->stat.stx_mode & (S_ISUID | S_ISGID)) || file->capabilities.size);
}

static uint32_t word(const unsigned char *bytes) {
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put_word(unsigned char *bytes, uint32_t value) {
	for (int i = 0; i < 4; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
}

/* They count for root of the user namespace that they name (version 3), or of the host (version 2): linux/capability.h. */
static struct capabilities mapped_capabilities(struct capabilities all) {
	uint32_t magic = all.size >= 4 ? word(all.bytes) : 0, version = magic & VFS_CAP_REVISION_MASK;
	if ((version != VFS_CAP_REVISION_2 || all.size != XATTR_CAPS_SZ_2) && (version != VFS_CAP_REVISION_3 || all.size != XATTR_CAPS_SZ_3))
		return all;
	uint32_t root = version == VFS_CAP_REVISION_3 ? word(all.bytes + XATTR_CAPS_SZ_2) : 0, now = mapped(root, 0);
	if (now == root)
		return all;
	put_word(all.bytes, (magic & ~VFS_CAP_REVISION_MASK) | (now ? VFS_CAP_REVISION_3 : VFS_CAP_REVISION_2));
	put_word(all.bytes + XATTR_CAPS_SZ_2, now);
	all.size = now ? XATTR_CAPS_SZ_3 : XATTR_CAPS_SZ_2;
	return all;
}

/* A table of what is known by three numbers: open addressing, its size a power of two. */
struct note {
	uint64_t key[3];
	uint32_t uid, gid, mode;
	struct capabilities capabilities;
};
struct table {
	struct note *slots; /* an empty one has no key[0]: no file has the number 0 */
	size_t size, count;
};

static struct note *slot_of(struct table *table, const uint64_t key[3]) {
	uint64_t hash = (key[0] * 0x9e3779b97f4a7c15u ^ key[1]) * 0xbf58476d1ce4e5b9u ^ key[2] * 0x94d049bb133111ebu;
	for (size_t i = (size_t)(hash >> 32);; i++) {
		struct note *slot = &table->slots[i & (table->size - 1)];
		if (!slot->key[0] || memcmp(slot->key, key, sizeof slot->key) == 0)
			return slot;
	}
}

/* Returns whether it is new; what was there by that key is replaced. */
static int keep(struct table *table, const struct note *note) {
	if (2 * table->count >= table->size) {
		struct table larger = { .size = table->size ? 2 * table->size : 1024 };
		larger.slots = calloc(larger.size, sizeof *larger.slots);
		if (!larger.slots)
			die("memory");
		for (size_t i = 0; i < table->size; i++)
			if (table->slots[i].key[0])
				*slot_of(&larger, table->slots[i].key) = table->slots[i];
		larger.count = table->count;
		free(table->slots);
		*table = larger;
	}
	struct note *slot = slot_of(table, note->key);
	int is_new = !slot->key[0];
	table->count += (size_t)is_new;
	*slot = *note;
	return is_new;
}

static struct table notes;
static FILE *notes_file;
static int notes_waiting; /* not on the disk yet */

/* By its number and the time when it was made: a number alone is given to another file when this one is removed, and devices have other
 * numbers after a boot. */
static struct note note_of(const struct file *file) {
	return (struct note){
		.key = { file->stat.stx_ino, (uint64_t)file->stat.stx_btime.tv_sec, file->stat.stx_btime.tv_nsec }, .uid = file->stat.stx_uid, .gid = file->stat.stx_gid,
		.mode = file->stat.stx_mode, .capabilities = file->capabilities,
	};
}

/* The note that was made of a file, unless something else has been done to it since. Its ids are those before or after the change. */
static const struct note *find_note(const struct file *file) {
	struct note like = note_of(file);
	const struct note *note = notes.size ? slot_of(&notes, like.key) : NULL;
	int same = note && note->key[0] && mapped(note->uid, 0) == mapped(like.uid, 0) && mapped(note->gid, 0) == mapped(like.gid, 0)
	           && ((note->mode ^ like.mode) & ~(uint32_t)(S_ISUID | S_ISGID)) == 0;
	return same ? note : NULL;
}

static void write_note(const struct file *file) {
	struct note note = note_of(file);
	keep(&notes, &note);
	fprintf(notes_file, "%llu %llu %llu %u %u %o ", (unsigned long long)note.key[0], (unsigned long long)note.key[1], (unsigned long long)note.key[2], note.uid, note.gid, note.mode);
	for (size_t i = 0; i < note.capabilities.size; i++)
		fprintf(notes_file, "%02x", note.capabilities.bytes[i]);
	fputs(".\n", notes_file);
	notes_waiting = 1;
}

static void sync_notes(const char *name) {
	if (notes_waiting && (fflush(notes_file) != 0 || ferror(notes_file) || fdatasync(fileno(notes_file)) < 0))
		die("%s", name);
	notes_waiting = 0;
}

/* Those of a change that was cut off. A last line that is not whole was written when the end came: nothing was done after it. */
static void open_notes(const char *name) {
	struct stat stat_ = { 0 };
	int file = -1;
	/* One that was killed may still be in its last call to the system: it has gone when the lock has. */
	while (stat_.st_nlink == 0) {
		if (file >= 0)
			close(file);
		file = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (file < 0 || flock(file, LOCK_EX) < 0 || fstat(file, &stat_) < 0)
			die("%s", name);
	}
	notes_file = fdopen(file, "r+");
	if (!notes_file)
		die("%s", name);
	char line[256], hex[2 * XATTR_CAPS_SZ_3 + 2];
	long whole = 0;
	while (fgets(line, sizeof line, notes_file) && strchr(line, '\n')) {
		struct note note = { 0 };
		unsigned long long key[3];
		if (sscanf(line, "%llu %llu %llu %u %u %o %49s", &key[0], &key[1], &key[2], &note.uid, &note.gid, &note.mode, hex) != 7 || !key[0])
			die("%s is not as it was written", name);
		for (int i = 0; i < 3; i++)
			note.key[i] = key[i];
		for (unsigned byte; note.capabilities.size < XATTR_CAPS_SZ_3 && sscanf(hex + 2 * note.capabilities.size, "%2x", &byte) == 1;)
			note.capabilities.bytes[note.capabilities.size++] = (unsigned char)byte;
		keep(&notes, &note);
		whole = ftell(notes_file);
	}
	if (ftruncate(file, whole) < 0 || fseek(notes_file, whole, SEEK_SET) < 0)
		die("%s", name);
}

static void read_attributes(struct file *file) {
	static char names[XATTR_LIST_MAX];
	file->capabilities = (struct capabilities){ 0 };
	file->lists = 0;
	if (S_ISLNK(file->stat.stx_mode)) /* neither these nor access lists are of any meaning there */
		return;
	ssize_t length = listxattr(file->self, names, sizeof names);
	if (length < 0 && errno != ENOTSUP)
		die("%s", here());
	for (const char *name = names; name < names + length; name += strlen(name) + 1) {
		for (int i = 0; i < 2; i++)
			file->lists |= (strcmp(name, list_names[i]) == 0) << i;
		if (strcmp(name, capabilities_name) != 0)
			continue;
		ssize_t size = getxattr(file->self, capabilities_name, file->capabilities.bytes, sizeof file->capabilities.bytes);
		if (size < 0 && errno != ENODATA)
			die("%s: capabilities", here());
		file->capabilities.size = size < 0 ? 0 : (size_t)size;
	}
}

/* False: nothing is there under that name any more. */
static int open_file(int folder, const char *name, int top, struct file *file) {
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | (top ? 0 : RESOLVE_BENEATH | RESOLVE_NO_XDEV) };
	file->file = (int)syscall(SYS_openat2, folder, name, &how, sizeof how);
	if (file->file < 0 && errno == EXDEV) {
		errno = 0;
		die("something is mounted at %s", here());
	}
	if (file->file < 0 && errno == ENOENT && !top)
		return 0;
	if (file->file < 0 || statx(file->file, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &file->stat) < 0)
		die("%s", here());
	file->top = top;
	snprintf(file->self, sizeof file->self, "/proc/self/fd/%d", file->file);
	read_attributes(file);
	return 1;
}

static void tell_progress(void) {
	static unsigned long seen;
	static time_t told;
	if (++seen % 4096)
		return;
	time_t now = time(NULL);
	if (!told)
		told = now;
	if (now - told < 2)
		return;
	told = now;
	printf("%lu files\n", seen);
	fflush(stdout);
}

/* A folder after all that is in it: the root is the last, so that its owner tells whether the whole is done. */
static void walk(struct file *file, unsigned depth, void (*visit)(struct file *file)) {
	if (S_ISDIR(file->stat.stx_mode)) {
		if (depth > DEEPEST) {
			errno = 0;
			die("folders are more than %d deep at %.200s", DEEPEST, here());
		}
		int listing = openat(file->file, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
		DIR *folder = listing < 0 ? NULL : fdopendir(listing);
		if (!folder)
			die("%s", here());
		size_t length = path_length;
		for (struct dirent *entry; errno = 0, (entry = readdir(folder));) {
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
				continue;
			int added = snprintf(path + length, sizeof path - length, "/%s", entry->d_name);
			path_length = length + (size_t)added < sizeof path ? length + (size_t)added : sizeof path - 1;
			struct file child;
			if (open_file(listing, entry->d_name, 0, &child)) {
				walk(&child, depth + 1, visit);
				close(child.file);
			}
			path_length = length;
			path[length] = '\0';
		}
		if (errno)
			die("%s", here());
		closedir(folder);
	}
	tell_progress();
	visit(file);
}

static const char *notes_name;

static void take_notes(struct file *file) {
	if (is_pending(file) && is_fragile(file) && !find_note(file))
		write_note(file);
}

/* The ids in an access list, which is in the form of linux/posix_acl_xattr.h. Says whether any of them is another one then. */
static int change_list(const struct file *file, const char *name, int does) {
	static unsigned char list[XATTR_SIZE_MAX];
	ssize_t size = getxattr(file->self, name, list, sizeof list);
	if (size < 0)
		die("%s: %s", here(), name);
	int changed = 0;
	for (ssize_t at = 4; at + 8 <= size; at += 8) {
		unsigned tag = list[at] | (unsigned)list[at + 1] << 8;
		uint32_t id = word(list + at + 4), now = mapped(id, 0);
		if ((tag != 0x02 && tag != 0x08) || now == id) /* ACL_USER, ACL_GROUP */
			continue;
		put_word(list + at + 4, now);
		changed = 1;
	}
	if (changed && does && setxattr(file->self, name, list, (size_t)size, XATTR_REPLACE) < 0)
		die("%s: %s", here(), name);
	return changed;
}

static void change(struct file *file) {
	for (int i = 0; i < 2; i++)
		if (file->lists & 1 << i)
			change_list(file, list_names[i], 1);
	uint32_t mode = file->stat.stx_mode, wanted = mode;
	struct capabilities there = file->capabilities, capabilities = there;
	const struct note *note = find_note(file);
	if (note) {
		wanted = note->mode;
		capabilities = note->capabilities;
	}
	if (is_pending(file)) {
		if (is_fragile(file) && !note) { /* it has become so since the notes were taken */
			write_note(file);
			sync_notes(notes_name);
		}
		if (fchownat(file->file, "", mapped(file->stat.stx_uid, file->top), mapped(file->stat.stx_gid, file->top), AT_EMPTY_PATH) < 0)
			die("%s", here());
		if (!S_ISDIR(mode))
			mode &= ~(uint32_t)(S_ISUID | S_ISGID);
		there.size = 0;
	}
	capabilities = mapped_capabilities(capabilities);
	if (capabilities.size && (capabilities.size != there.size || memcmp(capabilities.bytes, there.bytes, there.size) != 0)
	    && setxattr(file->self, capabilities_name, capabilities.bytes, capabilities.size, 0) < 0)
		die("%s: capabilities", here());
	if (wanted != mode && chmod(file->self, wanted & 07777) < 0)
		die("%s", here());
}

/* What a preview counts. */
static struct {
	unsigned long files, pending, programs, capabilities, lists, outside, fixed;
} counts;
static unsigned long ranges[RANGE];
static struct table linked;

/* The name of a file is its machine's to choose. */
static void print_path(void) {
	for (const char *at = here(); *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f || *at == '\\')
			printf("\\%03o", (unsigned char)*at);
		else
			putchar(*at);
	putchar('\n');
}

static int is_outside(uint32_t id, int top) {
	return id - from >= RANGE && id - to >= RANGE && !(top && id - BUSY < RANGE);
}

static void count(struct file *file) {
	struct note link = { .key = { file->stat.stx_ino, (uint64_t)file->stat.stx_dev_major << 32 | file->stat.stx_dev_minor, 0 } };
	if (!S_ISDIR(file->stat.stx_mode) && file->stat.stx_nlink > 1 && !keep(&linked, &link))
		return;
	uint32_t uid = file->stat.stx_uid, gid = file->stat.stx_gid;
	counts.files++;
	ranges[uid / RANGE]++;
	if (gid / RANGE != uid / RANGE)
		ranges[gid / RANGE]++;
	if (is_outside(uid, file->top) || is_outside(gid, file->top)) {
		if (counts.outside++ < 5) {
			printf("example outside %u:%u ", uid, gid);
			print_path();
		}
	}
	int pending = is_pending(file);
	if (pending && file->stat.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND) && counts.fixed++ < 5) {
		printf("example fixed %u:%u ", uid, gid);
		print_path();
	}
	counts.pending += (unsigned long)pending;
	if (pending && !S_ISDIR(file->stat.stx_mode) && file->stat.stx_mode & (S_ISUID | S_ISGID))
		counts.programs++;
	struct capabilities capabilities = mapped_capabilities(file->capabilities);
	if (capabilities.size && (pending || memcmp(&capabilities, &file->capabilities, sizeof capabilities) != 0))
		counts.capabilities++;
	int lists = 0;
	for (int i = 0; i < 2; i++)
		lists |= file->lists & 1 << i && change_list(file, list_names[i], 0);
	counts.lists += (unsigned long)lists;
}

static uint32_t first_id(const char *text) {
	uint32_t id = number(text, "the first of 65536 ids");
	if (id % RANGE || id > BUSY) {
		errno = 0;
		die("'%s' is not the first of 65536 ids", text);
	}
	return id;
}

/* owners preview DIRECTORY FROM TO: counts what would be changed, as lines of words. Nothing is.
 * owners change DIRECTORY FROM TO NOTES: changes it, and removes the notes when all of it is on the disk. */
int owners_job(int argc, char **argv) {
	int does = argc == 6 && strcmp(argv[1], "change") == 0;
	if (!does && (argc != 5 || strcmp(argv[1], "preview") != 0))
		die("owners preview DIRECTORY FROM TO | change DIRECTORY FROM TO NOTES");
	from = first_id(argv[3]);
	to = first_id(argv[4]);
	if (from == to || to == BUSY) {
		errno = 0;
		die("ids from %u cannot become ids from %u", from, to);
	}
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max < 2 * DEEPEST + 64 ? files.rlim_max : 2 * DEEPEST + 64;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	struct file top;
	open_file(AT_FDCWD, argv[2], 1, &top);
	if (!S_ISDIR(top.stat.stx_mode)) {
		errno = 0;
		die("%s is not a directory", argv[2]);
	}
	if (!does) {
		walk(&top, 0, count);
		printf("files %lu\npending %lu\nprograms %lu\ncapabilities %lu\nlists %lu\noutside %lu\nfixed %lu\n", counts.files, counts.pending, counts.programs, counts.capabilities, counts.lists, counts.outside, counts.fixed);
		for (uint32_t i = 0; i < RANGE; i++)
			if (ranges[i])
				printf("range %u %lu\n", i * RANGE, ranges[i]);
		return 0;
	}
	notes_name = argv[5];
	open_notes(notes_name);
	walk(&top, 0, take_notes);
	/* Also where there are none: that the file is there says that the change has begun. */
	notes_waiting = 1;
	sync_notes(notes_name);
	walk(&top, 0, change);
	int listing = openat(top.file, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (listing < 0 || syncfs(listing) < 0)
		die("%s", argv[2]);
	if (unlink(notes_name) < 0)
		die("%s", notes_name);
	return 0;
}
