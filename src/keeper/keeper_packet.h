/* SPDX-License-Identifier: MIT */
/*
 * keeper_packet.h - packets of a guest as the VMM writes them to a stream
 */
#ifndef KEEPER_PACKET_H
#define KEEPER_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define PACKET_ANNOUNCEMENT_MAX 256U /* bytes with the length before it; longer ones are none */

/*
 * Is what begins at `raw` one whole packet that nobody answers: ARP for the sender's own address
 * (RFC 5227 section 3), or anything of IPv6? Its bytes with the length before it, or 0. Pure.
 */
size_t packet_announcement(const uint8_t *raw, size_t len);

#endif
