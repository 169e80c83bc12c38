/* What the kernel's graphics drivers are asked, of the outputs of a card: include/uapi/drm/drm.h and drm_mode.h of Linux. */
#pragma once
#include "native.h"
#include <sys/ioctl.h>

struct resources { /* drm_mode_card_res */
	uint64_t framebuffers, crtcs, connectors, encoders;
	uint32_t framebuffer_count, crtc_count, connector_count, encoder_count;
	uint32_t min_width, max_width, min_height, max_height;
};

struct connector { /* drm_mode_get_connector */
	uint64_t encoders, modes, properties, values;
	uint32_t mode_count, property_count, encoder_count;
	uint32_t encoder, id, type, number, connection, width, height, subpixel, pad;
};

struct encoder { /* drm_mode_get_encoder */
	uint32_t id, type, crtc, possible_crtcs, possible_clones;
};

struct lease { /* drm_mode_create_lease */
	uint64_t objects;
	uint32_t object_count, flags, lessee;
	int32_t file;
};

#define DRM_SET_MASTER _IO('d', 0x1e)
#define DRM_GET_RESOURCES _IOWR('d', 0xa0, struct resources)
#define DRM_GET_ENCODER _IOWR('d', 0xa6, struct encoder)
#define DRM_GET_CONNECTOR _IOWR('d', 0xa7, struct connector)
#define DRM_CREATE_LEASE _IOWR('d', 0xc6, struct lease)
#define DRM_REVOKE_LEASE _IOWR('d', 0xc9, uint32_t)

/* Of the card that is open as `file`: makes a lease of the connector of this name, or ends the program with what is there instead; and makes it
 * anew. The open file that can be given away. */
int lend(const char *card, int file, const char *connector);
int lend_again(void);
