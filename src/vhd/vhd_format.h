/* SPDX-License-Identifier: MIT */
/*
 * vhd_format.h - the structures of [VHD], bytes to structs and back
 *
 * Pure: no I/O, no memory. What decodes has been checked field by field as far as it can be without
 * the file; vhd_open.c checks the rest. doc/format/vhd.md is the text to this.
 */
#ifndef VHD_FORMAT_H
#define VHD_FORMAT_H

#include "vhd.h"

#define VHD_FOOTER_SIZE 512U
#define VHD_HEADER_SIZE 1024U
#define VHD_BATMAP_SIZE 512U
#define VHD_BAT_NONE    0xffffffffU
#define VHD_ALIGN       4096U     /* data of blocks, length of files */
#define VHD_ALIGN_WIDE  65536U    /* data of blocks, where vhd_data_align() says so */
#define VHD_EPOCH       946684800 /* 2000-01-01 00:00:00 UTC as Unix time */
#define VHD_NAME_BYTES  512U      /* parent's name in the header: UTF-16BE */
#define VHD_LOCATOR_MAX 4096U     /* most bytes of a locator that are read */

struct vhd_geometry {
	uint16_t cylinders;
	uint8_t heads, sectors;
};

struct vhd_footer {
	uint32_t features;
	uint64_t data_offset; /* of the header; all ones for fixed images */
	uint32_t time_stamp;  /* seconds since 2000 */
	char creator[4], creator_os[4];
	uint32_t creator_version;
	uint64_t original_size, size;
	struct vhd_geometry geometry;
	enum vhd_type type;
	struct vhd_uuid id;
	bool is_saved_state, is_hidden;
};

struct vhd_locator {
	char code[4];    /* all zero: none */
	uint32_t space;  /* bytes, however the file says it */
	uint32_t length; /* bytes */
	uint64_t offset;
};

struct vhd_header {
	uint64_t table_offset;
	uint32_t table_entries, block_size;
	struct vhd_uuid parent_id;
	uint32_t parent_time_stamp;
	uint8_t parent_name[VHD_NAME_BYTES]; /* UTF-16BE as in the file */
	struct vhd_locator locators[VHD_PARENTS_MAX];
};

struct vhd_batmap {      /* tapdisk's extension */
	uint64_t offset; /* of the map */
	uint32_t sectors, version, checksum;
};

/* NOT of the sum of all bytes; the four at `skip` (`len`: none) count as zeros. [VHD] "Checksum" */
uint32_t vhd_checksum(const void *data, size_t len, size_t skip);

/* 0; -EBADMSG: no footer (cookie or checksum); -EINVAL: a footer that is not acceptable. `e` says
 * which field, without the file's name. */
VHD_MUST_CHECK int vhd_footer_decode(const uint8_t raw[VHD_FOOTER_SIZE], struct vhd_footer *ret,
				     struct vhd_err *e);
void vhd_footer_encode(const struct vhd_footer *f, uint8_t raw[VHD_FOOTER_SIZE]);

VHD_MUST_CHECK int vhd_header_decode(const uint8_t raw[VHD_HEADER_SIZE], struct vhd_header *ret,
				     struct vhd_err *e);
void vhd_header_encode(const struct vhd_header *h, uint8_t raw[VHD_HEADER_SIZE]);

/* -ENOENT: no batmap there; -EINVAL: a bad one; -ENOTSUP: one that says the data is encrypted, so
 * the image must not be opened. */
VHD_MUST_CHECK int vhd_batmap_decode(const uint8_t raw[VHD_BATMAP_SIZE], struct vhd_batmap *ret,
				     struct vhd_err *e);
void vhd_batmap_encode(const struct vhd_batmap *b, uint8_t raw[VHD_BATMAP_SIZE]);
/* Bytes of the map that its checksum covers: as the size of the disk has it, not the map's. */
size_t vhd_batmap_summed(uint64_t size);
/* The checksum of a map of at least that many bytes, as the batmap's version sums them. */
uint32_t vhd_batmap_checksum(const struct vhd_batmap *b, const uint8_t *map, uint64_t size);

/* Geometry of a disk of `size` bytes: [VHD] appendix "CHS Calculation". */
struct vhd_geometry vhd_geometry_of(uint64_t size);

/* Blocks of a disk; size <= VHD_SIZE_MAX, block_size a valid one. */
uint32_t vhd_blocks_of(uint64_t size, uint32_t block_size);
/* Bytes of a block's bitmap, whole sectors. */
uint32_t vhd_bitmap_size(uint32_t block_size);

bool vhd_uuid_is_zero(const struct vhd_uuid *u);
bool vhd_uuid_equal(const struct vhd_uuid *a, const struct vhd_uuid *b);

/* Is the creator one whose images may hold a batmap (tapdisk 1.1 and later)? */
bool vhd_footer_may_have_batmap(const struct vhd_footer *f);

/*
 * Text of names: UTF-16 to UTF-8 and back. An unpaired surrogate becomes U+FFFD. Decoding stops at
 * a NUL or the end. -ENAMETOOLONG when it does not fit.
 */
enum vhd_endian { VHD_BE, VHD_LE };
VHD_MUST_CHECK int vhd_utf16_decode(const uint8_t *raw, size_t len, enum vhd_endian endian,
				    char *text, size_t cap);
/* Bytes written, or -EILSEQ for what is no UTF-8, -ENAMETOOLONG. */
VHD_MUST_CHECK int vhd_utf16_encode(const char *text, enum vhd_endian endian, uint8_t *raw,
				    size_t cap);
/*
 * The path in a locator's bytes as UTF-8 with '/': W2ru and W2ku ('\' to '/'), MacX ("file://"
 * taken off, %XX resolved; ./b for "file://./b"). -ENOTSUP for other codes, -EINVAL for what has a
 * NUL or is no path, -ENAMETOOLONG. It may be absolute or climb: opening it is the caller's care.
 */
VHD_MUST_CHECK int vhd_locator_path(const struct vhd_locator *l, const uint8_t *raw, size_t len,
				    char path[VHD_PATH_MAX]);

#endif
