package cluster

import "fmt"

// The addresses inside a cluster. They are the same in every cluster: each has network namespaces of its own, joined to
// nothing else.
const (
	// HubIP is the address of the control plane and of the services beside it, as nodes and pods see it.
	HubIP = "10.88.0.1"
	// HubPrefix is the length of the hub network's prefix.
	HubPrefix = 16
	// PodCIDR is the range of all pods.
	PodCIDR = "10.42.0.0/16"
	// ServiceCIDR is the range of cluster IPs.
	ServiceCIDR = "10.96.0.0/16"
	// DNSIP is the cluster IP of the cluster DNS.
	DNSIP = "10.96.0.10"
	// APIServiceIP is the cluster IP of the API server.
	APIServiceIP = "10.96.0.1"
	// Domain is the DNS domain of the cluster.
	Domain = "cluster.local"
)

// Ports of the services at HubIP.
const (
	HubAPIPort      = 6443
	HubRegistryPort = 5000
	HubGitPort      = 3000
	HubS3Port       = 9000
	HubHTTPPort     = 80
	HubHTTPSPort    = 443
)

// Node is one node of the cluster.
type Node struct {
	// Name is its host name and the name of its Node object.
	Name string `json:"name"`
	// IP is its address in the hub network.
	IP string `json:"ip"`
	// PodCIDR is the range of its pods.
	PodCIDR string `json:"podCIDR"`
}

// NodeList returns the nodes of the cluster, which follow from their number alone.
func (s Spec) NodeList() []Node {
	if s.ControlPlaneOnly {
		return nil
	}
	nodes := make([]Node, s.Nodes)
	for i := range nodes {
		nodes[i] = Node{
			Name:    fmt.Sprintf("node-%d", i+1),
			IP:      fmt.Sprintf("10.88.1.%d", i+1),
			PodCIDR: fmt.Sprintf("10.42.%d.0/24", i+1),
		}
	}
	return nodes
}
