package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/local/internal/addons"
	"github.com/peyk/peyk/local/internal/cgroup"
	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/node"
	"github.com/peyk/peyk/local/internal/process"
)

// namespaces are those that a node does not share with the host.
const namespaces = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// keepNode runs a node and starts it again when its first process ends, until ctx ends.
func (s *supervisor) keepNode(ctx context.Context, n cluster.Node, programs node.Programs) error {
	root := path.Join(s.cgroupRoot(), n.Name)
	config := node.Config{Dir: s.dir, Node: n, Peers: s.spec.NodeList(), CgroupRoot: root, Programs: programs}
	if err := config.Save(); err != nil {
		return err
	}
	for {
		if err := s.awaitPower(ctx, n); err != nil {
			return nil
		}
		// A kubelet that finds the control groups of dead containers waits for each of them.
		if err := errors.Join(cgroup.Remove(root), cgroup.Make(root)); err != nil {
			return err
		}
		child, err := s.startNode(n)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			child.Release()
			<-child.Done
			return nil
		case <-child.Done:
			s.log.ErrorContext(ctx, "node ended", "node", n.Name, "error", child.Err, "log", s.dir.Log(n.Name))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// awaitPower returns when the node is not switched off, or with an error when ctx ends.
func (s *supervisor) awaitPower(ctx context.Context, n cluster.Node) error {
	return poll(ctx, func() (bool, error) {
		_, err := os.Stat(s.dir.OffFile(n.Name))
		return errors.Is(err, fs.ErrNotExist), nil
	})
}

func (s *supervisor) startNode(n cluster.Node) (*process.Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program's path: %w", err)
	}
	cmd, err := process.Prepare(s.dir, n.Name, self, "node", "--config", node.File(s.dir, n.Name))
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	child, err := process.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", n.Name, err)
	}
	if err := s.hub.Attach(n, child.Cmd.Process.Pid); err != nil {
		child.Release()
		<-child.Done
		return nil, err
	}
	return child, nil
}

// waitNodes returns when every node is ready and the cluster's DNS answers.
func (s *supervisor) waitNodes(ctx context.Context) error {
	waits, waitCtx := errgroup.WithContext(ctx)
	for _, n := range s.spec.NodeList() {
		waits.Go(func() error {
			if err := s.waitNode(waitCtx, n); err != nil {
				return fmt.Errorf("waiting for %s (see `peyk-local logs %s/kubelet`): %w", n.Name, n.Name, err)
			}
			return s.boot.Step(n.Name + " ready")
		})
	}
	if err := waits.Wait(); err != nil {
		return err
	}
	if err := s.hub.RouteServices(s.spec.NodeList()[0]); err != nil {
		return err
	}
	if err := s.waitDNS(ctx); err != nil {
		return fmt.Errorf("waiting for the cluster's DNS (kubectl -n kube-system get pods says more): %w", err)
	}
	return s.boot.Step("DNS ready")
}

func (s *supervisor) waitNode(ctx context.Context, n cluster.Node) error {
	nodes := s.client.CoreV1().Nodes()
	return poll(ctx, func() (bool, error) {
		list, err := nodes.List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", n.Name).String()})
		if err != nil || len(list.Items) == 0 {
			return false, err
		}
		if list.Items[0].Spec.PodCIDR == "" {
			if err := s.notePodCIDR(ctx, n); err != nil {
				return false, err
			}
		}
		return s.ready(list.Items[0]), nil
	})
}

// notePodCIDR tells the range of a node's pods to whoever reads Node objects.
func (s *supervisor) notePodCIDR(ctx context.Context, n cluster.Node) error {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"podCIDR": n.PodCIDR, "podCIDRs": []string{n.PodCIDR}}})
	if err != nil {
		return fmt.Errorf("encoding the pod range: %w", err)
	}
	if _, err := s.client.CoreV1().Nodes().Patch(ctx, n.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("noting the pod range: %w", err)
	}
	return nil
}

// ready reports whether a node can run pods now: what an earlier start of the cluster reported does not count.
func (s *supervisor) ready(n corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue && s.boot.Since(c.LastHeartbeatTime.Time)
		}
	}
	return false
}

// waitDNS returns when a pod of the cluster's DNS that this start has started is ready.
func (s *supervisor) waitDNS(ctx context.Context) error {
	pods := s.client.CoreV1().Pods(addons.DNSNamespace)
	return poll(ctx, func() (bool, error) {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: addons.DNSSelector})
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(list.Items, s.servesDNS), nil
	})
}

func (s *supervisor) servesDNS(pod corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Ready && c.State.Running != nil && s.boot.Since(c.State.Running.StartedAt.Time) {
			return true
		}
	}
	return false
}

// poll asks until the answer is yes. An error is tried again, and returned only when ctx ends.
func poll(ctx context.Context, ask func() (bool, error)) error {
	var last error
	for {
		ok, err := ask()
		if ok {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if last != nil {
				return last
			}
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
