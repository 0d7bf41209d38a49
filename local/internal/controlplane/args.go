package controlplane

import (
	"path/filepath"
	"strconv"
	"time"

	"github.com/peyk/peyk/local/internal/cluster"
)

func kubeconfig(dir cluster.Dir, who string) string {
	return filepath.Join(dir.PKI(), who+".kubeconfig")
}

// apiServerArgs are the flags of the API server. A control plane alone listens on the loopback address of the host; else it
// listens on every address of the hub, which nothing but the cluster reaches.
func apiServerArgs(dir cluster.Dir, spec cluster.Spec) []string {
	pki := func(file string) string { return filepath.Join(dir.PKI(), file) }
	args := []string{
		"--etcd-servers=" + etcdClientURL,
		"--service-cluster-ip-range=" + cluster.ServiceCIDR,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--client-ca-file=" + pki("ca.crt"),
		"--tls-cert-file=" + pki("apiserver.crt"),
		"--tls-private-key-file=" + pki("apiserver.key"),
		"--kubelet-certificate-authority=" + pki("ca.crt"),
		"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc." + cluster.Domain,
		"--service-account-key-file=" + pki("sa.pub"),
		"--service-account-signing-key-file=" + pki("sa.key"),
		"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + pki("front-proxy-client.crt"),
		"--proxy-client-key-file=" + pki("front-proxy-client.key"),
		// Webhooks are reached at their pods' addresses: no kube-proxy runs beside the API server.
		"--enable-aggregator-routing=true",
		"--profiling=false",
		"--cert-dir=certificates",
	}
	if spec.ControlPlaneOnly {
		return append(args, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+strconv.Itoa(spec.Ports.API),
			"--endpoint-reconciler-type=none")
	}
	return append(args, "--bind-address=0.0.0.0", "--advertise-address="+cluster.HubIP, "--secure-port="+strconv.Itoa(cluster.HubAPIPort))
}

func controllerManagerArgs(dir cluster.Dir, spec cluster.Spec) []string {
	config := kubeconfig(dir, "controller-manager")
	pki := func(file string) string { return filepath.Join(dir.PKI(), file) }
	grace := spec.NodeGrace
	if grace == 0 {
		grace = 20 * time.Second
	}
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		// The API server shares out its own capacity; the default delays the start by seconds.
		"--kube-api-qps=1000",
		"--kube-api-burst=1000",
		"--root-ca-file=" + pki("ca.crt"),
		"--service-account-private-key-file=" + pki("sa.key"),
		"--cluster-signing-cert-file=" + pki("ca.crt"),
		"--cluster-signing-key-file=" + pki("ca.key"),
		// Volumes that are deleted, and nodes that are lost, are noticed in seconds.
		"--pvclaimbinder-sync-period=5s",
		"--node-monitor-grace-period=" + grace.String(),
		"--node-monitor-period=2s",
	}
}

func schedulerArgs(dir cluster.Dir) []string {
	config := kubeconfig(dir, "scheduler")
	return []string{
		"--kubeconfig=" + config,
		"--authentication-kubeconfig=" + config,
		"--authorization-kubeconfig=" + config,
		"--secure-port=0",
		"--leader-elect=false",
		"--kube-api-qps=1000",
		"--kube-api-burst=1000",
	}
}
