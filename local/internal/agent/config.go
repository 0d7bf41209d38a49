package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	proxyv1 "k8s.io/kube-proxy/config/v1alpha1"
	kubeletv1 "k8s.io/kubelet/config/v1beta1"

	"github.com/peyk/peyk/local/internal/cluster"
)

// waitAPI returns when the API server answers this node's identity: a kubelet that starts before that backs off for seconds.
func waitAPI(ctx context.Context, c Config) error {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		return fmt.Errorf("reading the node's kubeconfig: %w", err)
	}
	config.Timeout = 2 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client of the API server: %w", err)
	}
	for {
		if _, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{Limit: 1}); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ptr[T any](v T) *T { return &v }

func kubeletConfiguration(c Config) kubeletv1.KubeletConfiguration {
	pki := func(file string) string { return filepath.Join(c.Dir.PKI(), file) }
	k := kubeletv1.KubeletConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: kubeletv1.SchemeGroupVersion.String(), Kind: "KubeletConfiguration"},
		Address:  c.Node.IP,
		Authentication: kubeletv1.KubeletAuthentication{
			X509:      kubeletv1.KubeletX509Authentication{ClientCAFile: pki("ca.crt")},
			Webhook:   kubeletv1.KubeletWebhookAuthentication{Enabled: ptr(true)},
			Anonymous: kubeletv1.KubeletAnonymousAuthentication{Enabled: ptr(false)},
		},
		Authorization:            kubeletv1.KubeletAuthorization{Mode: kubeletv1.KubeletAuthorizationModeWebhook},
		TLSCertFile:              pki("kubelet-" + c.Node.Name + ".crt"),
		TLSPrivateKeyFile:        pki("kubelet-" + c.Node.Name + ".key"),
		ContainerRuntimeEndpoint: "unix://" + c.RuntimeSocket,
		CgroupDriver:             "cgroupfs",
		CgroupRoot:               c.CgroupRoot,
		ClusterDNS:               []string{cluster.DNSIP},
		ClusterDomain:            cluster.Domain,
		// The host's resolvers cannot be reached from inside, and its search domains mean nothing there.
		ResolverConfig: ptr(""),
		FailSwapOn:     ptr(false),
		FailCgroupV1:   ptr(false),
		OOMScoreAdj:    ptr(int32(0)),
		KubeAPIQPS:     ptr(int32(500)), KubeAPIBurst: 1000,
		VolumePluginDir:     c.path("volume-plugins"),
		RegisterNode:        ptr(true),
		MaxPods:             250,
		SerializeImagePulls: ptr(false),
		// The disk is the user's own: pods are evicted only when it is nearly full, and images stay.
		ImageGCHighThresholdPercent: ptr(int32(100)),
		EvictionHard: map[string]string{
			"memory.available":  "100Mi",
			"nodefs.available":  "1%",
			"nodefs.inodesFree": "1%",
			"imagefs.available": "1%",
		},
		NodeStatusUpdateFrequency: metav1.Duration{Duration: 5 * time.Second},
		// A quarter of it, five seconds, is how often a node says that it lives.
		NodeLeaseDurationSeconds: 20,
		// Small clusters of one user: what kubectl shows should be what is.
		SyncFrequency: metav1.Duration{Duration: 10 * time.Second},
	}
	k.EnforceNodeAllocatable = []string{"pods"}
	return k
}

func proxyConfiguration(c Config) proxyv1.KubeProxyConfiguration {
	p := proxyv1.KubeProxyConfiguration{
		TypeMeta:         metav1.TypeMeta{APIVersion: proxyv1.SchemeGroupVersion.String(), Kind: "KubeProxyConfiguration"},
		Mode:             "nftables",
		ClusterCIDR:      cluster.PodCIDR,
		HostnameOverride: c.Node.Name,
		OOMScoreAdj:      ptr(int32(0)),
		// Changes are shown at once: rule sets here are small.
		NFTables: proxyv1.KubeProxyNFTablesConfiguration{MinSyncPeriod: metav1.Duration{Duration: 100 * time.Millisecond}},
		// The size of the connection table belongs to the host; zero leaves it alone.
		Conntrack: proxyv1.KubeProxyConntrackConfiguration{MaxPerCore: ptr(int32(0)), Min: ptr(int32(0))},
	}
	p.ClientConnection.Kubeconfig = filepath.Join(c.Dir.PKI(), "kube-proxy.kubeconfig")
	return p
}
