// Package hub builds the network of a cluster: a bridge in a network namespace of its own, to which every node is joined by a
// pair of virtual links. It has no uplink, so no packet leaves the machine and nothing of the host's network changes.
package hub

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/netns"
)

// bridge is the name of the link that joins all nodes.
const bridge = "hub0"

// NodeLink is the name of a node's link to the hub, inside the node.
const NodeLink = "eth0"

// Hub is the network of a running cluster.
type Hub struct {
	// Namespace is where the bridge is, and the control plane.
	Namespace *netns.Namespace
}

// New makes the hub.
func New() (*Hub, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	h := &Hub{Namespace: ns}
	if err := h.with(setUpBridge); err != nil {
		ns.Close()
		return nil, fmt.Errorf("building the cluster's network: %w", err)
	}
	return h, nil
}

// Close gives up the hub; its links end with the last process inside.
func (h *Hub) Close() error { return h.Namespace.Close() }

func setUpBridge(n *netlink.Handle) error {
	lo, err := n.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback link: %w", err)
	}
	if err := n.LinkSetUp(lo); err != nil {
		return fmt.Errorf("starting the loopback link: %w", err)
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}
	if err := n.LinkAdd(br); err != nil {
		return fmt.Errorf("making the bridge: %w", err)
	}
	addr, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", cluster.HubIP, cluster.HubPrefix))
	if err != nil {
		return fmt.Errorf("parsing the hub's address: %w", err)
	}
	if err := n.AddrAdd(br, addr); err != nil {
		return fmt.Errorf("giving the bridge its address: %w", err)
	}
	if err := n.LinkSetUp(br); err != nil {
		return fmt.Errorf("starting the bridge: %w", err)
	}
	return nil
}

// Attach joins a node, whose first process is given by its id on the host, to the hub, and makes its pods reachable.
func (h *Hub) Attach(node cluster.Node, pid int) error {
	return h.with(func(n *netlink.Handle) error {
		if err := detach(n, node); err != nil {
			return err
		}
		br, err := n.LinkByName(bridge)
		if err != nil {
			return fmt.Errorf("finding the bridge: %w", err)
		}
		veth := &netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: node.Name, MasterIndex: br.Attrs().Index},
			PeerName:      NodeLink,
			PeerNamespace: netlink.NsPid(pid),
			// A node that comes back is found at once by those that remember its address.
			PeerHardwareAddr: hardwareAddr(node.IP),
		}
		if err := n.LinkAdd(veth); err != nil {
			return fmt.Errorf("joining %s to the hub: %w", node.Name, err)
		}
		if err := n.LinkSetUp(veth); err != nil {
			return fmt.Errorf("starting the link of %s: %w", node.Name, err)
		}
		return route(n, br, node.PodCIDR, node.IP)
	})
}

// hardwareAddr makes a locally administered address (IEEE 802) from an IPv4 address.
func hardwareAddr(ip string) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0x50}, net.ParseIP(ip).To4()...)
}

// RouteServices sends traffic for cluster IPs from the hub through a node, whose kube-proxy knows them.
func (h *Hub) RouteServices(node cluster.Node) error {
	return h.with(func(n *netlink.Handle) error {
		br, err := n.LinkByName(bridge)
		if err != nil {
			return fmt.Errorf("finding the bridge: %w", err)
		}
		return route(n, br, cluster.ServiceCIDR, node.IP)
	})
}

func detach(n *netlink.Handle, node cluster.Node) error {
	old, err := n.LinkByName(node.Name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding the link of %s: %w", node.Name, err)
	}
	if err := n.LinkDel(old); err != nil {
		return fmt.Errorf("removing the old link of %s: %w", node.Name, err)
	}
	return nil
}

func route(n *netlink.Handle, link netlink.Link, cidr, via string) error {
	_, dst, err := net.ParseCIDR(cidr)
	if err != nil {
		return fmt.Errorf("parsing the range %s: %w", cidr, err)
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Gw: net.ParseIP(via)}
	if err := n.RouteReplace(r); err != nil {
		return fmt.Errorf("routing %s via %s: %w", cidr, via, err)
	}
	return nil
}

// with runs f with a netlink socket inside the hub.
func (h *Hub) with(f func(*netlink.Handle) error) error {
	n, err := netlink.NewHandleAt(vishns.NsHandle(h.Namespace.FD()))
	if err != nil {
		return fmt.Errorf("opening a netlink socket in the hub: %w", err)
	}
	defer n.Close()
	return f(n)
}
