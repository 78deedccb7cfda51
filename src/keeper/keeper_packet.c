/* SPDX-License-Identifier: MIT */
/*
 * keeper_packet.c - [U] which packets of a guest want nothing
 */
#include "keeper_packet.h"

#include <net/ethernet.h>
#include <stdbool.h>
#include <string.h>

#include "bytes.h"

#define LENGTH_SIZE 4U
#define ARP_SENDER  14U /* offsets of protocol addresses in ARP for IPv4 over Ethernet (RFC 826) */
#define ARP_TARGET  24U
#define ARP_SIZE    28U

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_own_arp(const uint8_t *arp, size_t len)
{
	return len >= ARP_SIZE && be32(arp + ARP_SENDER) == be32(arp + ARP_TARGET);
}

size_t packet_announcement(const uint8_t *raw, size_t len)
{
	const uint8_t *frame = raw + LENGTH_SIZE;
	uint32_t size;
	unsigned int type;

	if (len < LENGTH_SIZE + ETHER_HDR_LEN)
		return 0;
	size = be32(raw);
	if (size < ETHER_HDR_LEN || size > len - LENGTH_SIZE)
		return 0;
	type = (unsigned int)frame[12] << 8 | frame[13];
	if (type == ETHERTYPE_IPV6 ||
	    (type == ETHERTYPE_ARP && is_own_arp(frame + ETHER_HDR_LEN, size - ETHER_HDR_LEN)))
		return LENGTH_SIZE + size;
	return 0;
}
