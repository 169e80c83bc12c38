/* What is lent of a graphics card: a connector by its name, and a CRTC that can feed it and that nobody else has. */
#include "lease.h"
#include <fcntl.h>
#include <limits.h>

enum { MOST = 64 }; /* of each kind on one card: the kernel has masks of 32 bits for CRTCs, and cards with many connectors have some ten */

/* drm_connector_enum_list of the kernel's drm_connector.c: names in /sys/class/drm are made of these and a number. */
static const char *const types[] = {
	"Unknown", "VGA", "DVI-I", "DVI-D", "DVI-A", "Composite", "SVIDEO", "LVDS", "Component", "DIN", "DP", "HDMI-A", "HDMI-B", "TV", "eDP", "Virtual", "DSI", "DPI",
	"Writeback", "SPI", "USB",
};

struct output {
	uint32_t id; /* of the connector; 0: it has gone meanwhile */
	char name[32];
	uint32_t crtcs, fed_by; /* those that can feed it, a bit each, and the id of the one that does */
};

static struct {
	const char *path;
	int file;
	uint32_t crtcs[MOST];
	int crtc_count;
	struct output outputs[MOST];
	int output_count;
} card;

/* The file is kept: the lease ends when nobody has it open. */
static struct {
	uint32_t objects[2], lessee;
	int file;
} lent;

static struct output look_at(uint32_t id) {
	uint32_t encoders[MOST] = { 0 };
	char mode[68]; /* drm_mode_modeinfo. Room for one: asked for none, the kernel would first talk with the screen */
	struct connector connector = { .id = id, .encoders = (uintptr_t)encoders, .encoder_count = MOST, .modes = (uintptr_t)mode, .mode_count = 1 };
	struct output output = { 0 };
	if (ioctl(card.file, DRM_GET_CONNECTOR, &connector) < 0)
		return output;
	output.id = id;
	snprintf(output.name, sizeof output.name, "%s-%u", types[connector.type < sizeof types / sizeof *types ? connector.type : 0], connector.number);
	for (uint32_t i = 0; i < connector.encoder_count && i < MOST; i++) {
		struct encoder encoder = { .id = encoders[i] };
		if (ioctl(card.file, DRM_GET_ENCODER, &encoder) < 0)
			continue;
		output.crtcs |= encoder.possible_crtcs;
		if (encoder.id == connector.encoder)
			output.fed_by = encoder.crtc;
	}
	return output;
}

static void look_at_card(void) {
	uint32_t connectors[MOST];
	struct resources resources = { .crtcs = (uintptr_t)card.crtcs, .crtc_count = MOST, .connectors = (uintptr_t)connectors, .connector_count = MOST };
	if (ioctl(card.file, DRM_GET_RESOURCES, &resources) < 0)
		die("%s has no outputs", card.path);
	card.crtc_count = (int)resources.crtc_count;
	for (uint32_t i = 0; i < resources.connector_count && i < MOST; i++)
		card.outputs[card.output_count++] = look_at(connectors[i]);
}

static const struct output *find(const char *name) {
	char there[sizeof card.outputs] = "";
	for (int i = 0; i < card.output_count; i++) {
		if (strcmp(card.outputs[i].name, name) == 0)
			return &card.outputs[i];
		strcat(strcat(there, *there ? ", " : ""), card.outputs[i].name);
	}
	refuse("nestbox-native: %s has no connector '%s'\nit has %s", card.path, name, *there ? there : "none");
}

/* Of those that can feed it and were not tried: the one that the fewest others could use, and of these the one that feeds it now. -1: none is left. */
static int choose_crtc(const struct output *output, uint32_t tried) {
	int best = -1, fewest = INT_MAX;
	for (int i = 0; i < card.crtc_count && i < 32; i++) {
		int users = 0;
		if (!((output->crtcs & ~tried) >> i & 1))
			continue;
		for (int k = 0; k < card.output_count; k++)
			users += card.outputs[k].crtcs >> i & 1;
		if (users < fewest || (users == fewest && card.crtcs[i] == output->fed_by)) {
			best = i;
			fewest = users;
		}
	}
	return best;
}

/* With the CRTC, the kernel lends its planes to one who has not asked for these one by one: fill_object_idr() of drm_lease.c. */
static int make(uint32_t connector, uint32_t crtc) {
	struct lease lease = { .objects = (uintptr_t)lent.objects, .object_count = 2, .flags = O_CLOEXEC };
	lent.objects[0] = connector;
	lent.objects[1] = crtc;
	if (ioctl(card.file, DRM_CREATE_LEASE, &lease) < 0)
		return 0;
	lent.lessee = lease.lessee;
	lent.file = lease.file;
	return 1;
}

int lend(const char *path, int file, const char *name) {
	card.path = path;
	card.file = file;
	look_at_card();
	const struct output *output = find(name);
	uint32_t tried = 0;
	for (int crtc; (crtc = choose_crtc(output, tried)) >= 0; tried |= 1u << crtc) {
		if (make(output->id, card.crtcs[crtc]))
			return lent.file;
		if (errno != EBUSY)
			die("'%s' of %s cannot be lent", name, path);
	}
	refuse("nestbox-native: '%s' of %s, or all that could feed it, is lent already\na card shows %d pictures at a time: nestbox seats tells who has which connector", name, path, card.crtc_count);
}

int lend_again(void) {
	ioctl(card.file, DRM_REVOKE_LEASE, &lent.lessee);
	close(lent.file);
	if (!make(lent.objects[0], lent.objects[1]))
		die("a connector of %s cannot be lent any more", card.path);
	return lent.file;
}
