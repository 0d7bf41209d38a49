package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/hub"
)

// prepareNetwork sets up the node's links once the supervisor has joined the node to the hub.
func (c Config) prepareNetwork(ctx context.Context) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback link: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("starting the loopback link: %w", err)
	}
	link, err := waitLink(ctx)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", c.Node.IP, cluster.HubPrefix))
	if err != nil {
		return fmt.Errorf("parsing the node's address: %w", err)
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("giving the node its address: %w", err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("starting the node's link: %w", err)
	}
	if err := c.addRoutes(link); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("letting the node forward packets: %w", err)
	}
	return nil
}

// waitLink returns the node's link to the hub as soon as it is there.
func waitLink(ctx context.Context) (netlink.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		link, err := netlink.LinkByName(hub.NodeLink)
		if err == nil {
			return link, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the link to the hub: %w", err)
		case <-tick.C:
		}
	}
}

func (c Config) addRoutes(link netlink.Link) error {
	for _, peer := range c.Peers {
		if peer.Name == c.Node.Name {
			continue
		}
		if err := addRoute(link, peer.PodCIDR, net.ParseIP(peer.IP)); err != nil {
			return err
		}
	}
	// kube-proxy rewrites cluster IPs; a process of the node itself needs a route before it does.
	return addRoute(link, cluster.ServiceCIDR, nil)
}

func addRoute(link netlink.Link, cidr string, via net.IP) error {
	_, dst, err := net.ParseCIDR(cidr)
	if err != nil {
		return fmt.Errorf("parsing the range %s: %w", cidr, err)
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Gw: via}
	if via == nil {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := netlink.RouteReplace(r); err != nil {
		return fmt.Errorf("routing %s: %w", cidr, err)
	}
	return nil
}
