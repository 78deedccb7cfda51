/* SPDX-License-Identifier: MIT */
/*
 * virtio_net.c - [U] virtio network device
 *
 * Hostile: the rings' contents, the peer, saved state. Frames are moved in virtio_net_rx.c and
 * virtio_net_tx.c.
 * Invariants: I1 the descriptor is watched for what would be done only.  I2 with fd -1 nothing of a
 *   peer is left: no bytes, no watch.
 * A tap needs two things said: the size of the header, before the process shuts itself in, and what
 * the driver has agreed to take, later; for that its filter has TUNSETOFFLOAD.
 * Threads: all but config, save, load and reset run on the event thread, with the device's lock.
 * Memory: none allocated after virtio_net_new(), but for a watch in virtio_net_attach().
 * #syscalls:vmm fcntl getsockopt ioctl
 */
#include "virtio_net.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "bytes.h"
#include "fdio.h"
#include "loop.h"
#include "virtio_net_internal.h"

#define CONFIG_STATUS  6U
#define STATUS_LINK_UP 1U
#define QUEUE_SIZE     256U
#define FEATURES       (NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF)
#define FEATURES_TAP                                                                               \
	(NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_HOST_TSO4 |   \
	 NET_F_HOST_TSO6)

static struct virtio_net *of_device(struct virtio_device *d)
{
	return (struct virtio_net *)d;
}

static void peer_drop(struct virtio_net *n)
{
	loop_watch_drop(n->watch);
	n->watch = NULL;
	fd_drop(&n->fd);
	n->rx.start = n->rx.end = 0;
	n->tx.start = n->tx.end = 0;
	n->tx.is_blocked = false;
}

static void link_set(struct virtio_net *n, bool is_up)
{
	if (n->is_up == is_up)
		return;
	n->is_up = is_up;
	if (n->dev.is_active)
		n->dev.signal.config(n->dev.signal.arg);
}

void net_peer_lost(struct virtio_net *n)
{
	/* What waited for the peer is thrown away now; the guest does not kick for it again. */
	if (n->tx.is_blocked)
		loop_timer_arm(n->tx.again, 0);
	peer_drop(n);
	link_set(n, false);
}

/* A tap gives the guest only what its driver has agreed to take. No failure matters: a kernel
 * without an offload never makes such frames. */
static void offload_set(struct virtio_net *n)
{
	uint64_t f = n->dev.agreed;
	unsigned long take = f & NET_F_GUEST_CSUM ? TUN_F_CSUM : 0;

	n->is_offload_set = true;
	if (n->kind != NET_TAP || n->fd < 0)
		return;
	if (take && (f & NET_F_GUEST_TSO4))
		take |= TUN_F_TSO4;
	if (take && (f & NET_F_GUEST_TSO6))
		take |= TUN_F_TSO6;
	if (ioctl(n->fd, TUNSETOFFLOAD, take) < 0)
		return;
}

/* Whether queues may be served; does what the first time needs. */
static bool is_running(struct virtio_net *n)
{
	if (!n->dev.is_active || n->dev.is_paused)
		return false;
	if (!n->is_offload_set)
		offload_set(n);
	if (n->owes_config)
		n->dev.signal.config(n->dev.signal.arg);
	n->owes_config = false;
	return true;
}

/*
 * Watch for what would be done now. When that is nothing, a hang-up is still reported, so take it
 * as an edge: level-triggered it would keep the loop busy.
 */
static void peer_watch(struct virtio_net *n)
{
	uint32_t want = 0;
	struct err e;

	if (!n->watch)
		return;
	if (n->dev.is_active && !n->dev.is_paused)
		want = (net_rx_is_wanted(n) ? EPOLLIN : 0U) | (n->tx.is_blocked ? EPOLLOUT : 0U);
	if (want == 0)
		want = EPOLLET;
	if (want == n->events)
		return;
	n->events = want;
	if (loop_watch_set(n->watch, want, &e) < 0)
		net_peer_lost(n); /* out of memory: better than a network that hangs */
}

static void all_do(struct virtio_net *n)
{
	if (is_running(n)) {
		n->rx.is_starved = false;
		net_from_guest(n);
		net_to_guest(n);
	}
	peer_watch(n);
}

static void peer_event(void *arg, uint32_t events)
{
	struct virtio_net *n = arg;

	pthread_mutex_lock(&n->dev.lock);
	if (is_running(n)) {
		if ((events & ~(uint32_t)EPOLLIN) && n->tx.is_blocked)
			net_from_guest(n);
		if ((events & ~(uint32_t)EPOLLOUT) && !n->rx.is_limited)
			net_to_guest(n);
	}
	peer_watch(n);
	pthread_mutex_unlock(&n->dev.lock);
}

static void again(void *arg)
{
	struct virtio_net *n = arg;

	pthread_mutex_lock(&n->dev.lock);
	all_do(n);
	pthread_mutex_unlock(&n->dev.lock);
}

static void net_kick(struct virtio_device *d, unsigned int queue)
{
	struct virtio_net *n = of_device(d);

	if (!is_running(n))
		return;
	if (queue == NET_QUEUE_TX) {
		net_from_guest(n);
	} else if (!(n->events & (uint32_t)EPOLLIN)) { /* else the peer's frames wake us */
		n->rx.is_starved = false;
		net_to_guest(n);
	}
	peer_watch(n);
}

static void net_config_read(const struct virtio_device *d, uint8_t *raw)
{
	const struct virtio_net *n = (const struct virtio_net *)d;

	memcpy(raw, n->mac, sizeof(n->mac));
	put_le16(raw + CONFIG_STATUS, n->is_up ? STATUS_LINK_UP : 0);
}

/* On a vCPU's thread: leaves the watch alone; the next event sees that nothing is wanted. What is
 * left of a frame is still sent: a stream's peer waits for it. */
static void net_reset(struct virtio_device *d)
{
	struct virtio_net *n = of_device(d);

	n->rx.is_starved = n->rx.is_limited = false;
	n->tx.is_blocked = false;
	n->is_offload_set = n->owes_config = false;
}

static void net_resume(struct virtio_device *d)
{
	all_do(of_device(d));
}

static void net_save(struct virtio_device *d, struct state_out *s)
{
	const struct virtio_net *n = of_device(d);

	state_put(s, n->mac, sizeof(n->mac));
	state_put_u8(s, n->is_up);
}

/* A clone has an address of its own, of which the guest's agent hears, and a link of its own. */
static int net_load(struct virtio_device *d, struct state_in *s, struct err *e)
{
	struct virtio_net *n = of_device(d);
	uint8_t mac[NET_MAC_SIZE], is_up;

	state_get(s, mac, sizeof(mac));
	is_up = state_get_u8(s);
	if (s->has_failed || is_up > 1)
		return err_plain(e, EINVAL, "network: not a saved state");
	n->owes_config = is_up != n->is_up;
	return 0;
}

static void net_free(struct virtio_device *d)
{
	struct virtio_net *n = of_device(d);

	peer_drop(n);
	loop_timer_drop(n->rx.again);
	loop_timer_drop(n->tx.again);
}

static const struct virtio_device_ops net_ops = {
	.id = VIRTIO_ID_NET,
	.name = "network",
	.n_queues = 2,
	.queue_size = QUEUE_SIZE,
	.config_read = net_config_read,
	.reset = net_reset,
	.kick = net_kick,
	.resume = net_resume,
	.save = net_save,
	.load = net_load,
	.free = net_free,
};

int virtio_net_tap_prepare(int fd, struct err *e)
{
	const unsigned int want = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	int hdr_size = NET_HDR_SIZE;
	struct ifreq r = { 0 };

	if (ioctl(fd, TUNGETIFF, &r) < 0 || ((unsigned int)r.ifr_flags & want) != want)
		return err_plain(e, EINVAL, "not a tap with IFF_NO_PI and IFF_VNET_HDR");
	return ioctl(fd, TUNSETVNETHDRSZ, &hdr_size) < 0 ? err_set(e, errno, "header of the tap")
							 : 0;
}

static int peer_check(const struct virtio_net *n, int fd, struct err *e)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (n->kind == NET_STREAM &&
	    (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM))
		return err_plain(e, EINVAL, "network: the peer is not a stream socket");
	if (fd_set_nonblock(fd, true) < 0)
		return err_set(e, errno, "network: peer");
	return 0;
}

/* `fd` becomes ours, and the peer that there was goes, when all went well. */
static int peer_set(struct virtio_net *n, int fd, struct err *e)
{
	struct loop_watch *watch;

	if (peer_check(n, fd, e) < 0 ||
	    loop_watch_fd(n->loop, fd, EPOLLET, peer_event, n, &watch, e) < 0)
		return -e->code;
	peer_drop(n);
	n->watch = watch;
	n->events = EPOLLET;
	n->fd = fd;
	n->is_offload_set = false;
	return 0;
}

int virtio_net_attach(struct virtio_device *d, int fd, struct err *e)
{
	struct virtio_net *n = of_device(d);
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = peer_set(n, fd, e);
	if (rc == 0)
		link_set(n, true);
	all_do(n);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

int virtio_net_new(struct loop *loop, const struct net_spec *spec, struct virtio_device **ret,
		   struct err *e)
{
	const uint64_t tap = spec->kind == NET_TAP ? FEATURES_TAP : 0;
	struct virtio_net *n = virtio_device_new(sizeof(*n), &net_ops, FEATURES | tap, e);
	uint64_t now = rate_limit_now();

	if (!n)
		return -e->code;
	n->loop = loop;
	n->kind = spec->kind;
	n->fd = -1;
	n->is_up = true;
	memcpy(n->mac, spec->mac, sizeof(n->mac));
	rate_limit_init(&n->rx.limit, &spec->to_guest, now);
	rate_limit_init(&n->tx.limit, &spec->from_guest, now);
	if (loop_timer_new(loop, again, n, &n->rx.again, e) < 0 ||
	    loop_timer_new(loop, again, n, &n->tx.again, e) < 0 ||
	    (spec->fd >= 0 && peer_set(n, spec->fd, e) < 0)) {
		virtio_device_free(&n->dev);
		return -e->code;
	}
	*ret = &n->dev;
	return 0;
}
