package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/install"
)

// logQuery is which lines of the operator's log are shown.
type logQuery struct {
	level, kind, name, namespace string
	all, follow                  bool
	tail                         int64
	since                        time.Duration
	sinceTime, operator          string
}

func (a *App) newLogs() *cobra.Command {
	q := logQuery{tail: -1}
	cmd := &cobra.Command{
		Use: "logs", Args: wants(cobra.NoArgs), Short: "Show what Peyk logs",
		Long: "Show the log of the operator in the cluster, one line each, about the objects of a namespace or of all.",
		Example: `  peyk logs -A --level error

  # go on with one object
  peyk logs --kind Kustomization --name apps -n flux-system --follow`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.check(); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			q.namespace = cluster.Namespace
			ctx, cancel := cmd.Context(), context.CancelFunc(func() {})
			if !q.follow {
				ctx, cancel = context.WithTimeout(ctx, a.limit)
			}
			defer cancel()
			return q.run(ctx, cluster, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&q.level, "level", "", "only lines of level debug, info, warn or error")
	flags.StringVar(&q.kind, "kind", "", "only lines about objects of this kind")
	flags.StringVar(&q.name, "name", "", "only lines about the object of this name")
	flags.BoolVarP(&q.all, "all-namespaces", "A", false, "lines about objects of every namespace")
	flags.BoolVarP(&q.follow, "follow", "f", false, "go on and print new lines")
	flags.Int64Var(&q.tail, "tail", q.tail, "only so many of the newest lines (default: all)")
	flags.DurationVar(&q.since, "since", 0, "only lines newer than this, such as 5m")
	flags.StringVar(&q.sinceTime, "since-time", "", "only lines after this time, as 2006-01-02T15:04:05Z")
	flags.StringVar(&q.operator, "flux-namespace", install.DefaultNamespace, "namespace that Peyk runs in")
	return cmd
}

func (q *logQuery) check() error {
	if q.since != 0 && q.sinceTime != "" {
		return usagef("give either --since or --since-time")
	}
	if q.sinceTime != "" {
		if _, err := time.Parse(time.RFC3339, q.sinceTime); err != nil {
			return usagef("time %q: write it as 2006-01-02T15:04:05Z", q.sinceTime)
		}
	}
	if q.level != "" {
		return checkFormat(q.level, "debug", "info", "warn", "error")
	}
	return nil
}

func (q *logQuery) run(ctx context.Context, cluster *Cluster, out io.Writer) error {
	if cluster.Config == nil {
		return errors.New("reading logs needs a cluster")
	}
	pods := &corev1.PodList{}
	if err := cluster.Client.List(ctx, pods, client.InNamespace(q.operator), client.MatchingLabels{"app.kubernetes.io/name": "peyk"}); err != nil {
		return fmt.Errorf("looking for Peyk's pods: %w", err)
	}
	if len(pods.Items) == 0 {
		return notFoundError{fmt.Errorf("no pod of Peyk runs in the namespace %q: name another with --flux-namespace", q.operator)}
	}
	clients, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		return fmt.Errorf("making the client: %w", err)
	}
	lines := make(chan string)
	ended := make(chan error, len(pods.Items))
	for _, pod := range pods.Items {
		go func() { ended <- q.stream(ctx, clients, pod.Name, lines) }()
	}
	for range pods.Items {
		if err := q.drain(ctx, lines, ended, out); err != nil {
			return err
		}
	}
	return nil
}

// drain prints lines until one of the streams ends.
func (q *logQuery) drain(ctx context.Context, lines <-chan string, ended <-chan error, out io.Writer) error {
	for {
		select {
		case line := <-lines:
			if text, shown := q.format(line); shown {
				_, _ = fmt.Fprintln(out, text)
			}
		case err := <-ended:
			if q.follow && ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

func (q *logQuery) stream(ctx context.Context, clients kubernetes.Interface, pod string, lines chan<- string) error {
	options := &corev1.PodLogOptions{Follow: q.follow, Container: "peyk"}
	if q.tail >= 0 {
		options.TailLines = &q.tail
	}
	if q.since > 0 {
		options.SinceSeconds = new(int64(max(1, q.since.Round(time.Second).Seconds())))
	}
	if at, err := time.Parse(time.RFC3339, q.sinceTime); err == nil {
		options.SinceTime = &metav1.Time{Time: at}
	}
	stream, err := clients.CoreV1().Pods(q.operator).GetLogs(pod, options).Stream(ctx)
	if err != nil {
		return fmt.Errorf("reading the log of pod %s: %w", pod, err)
	}
	defer func() { _ = stream.Close() }()
	reader := bufio.NewReader(stream)
	for {
		line, err := reader.ReadString('\n')
		if line != "" {
			select {
			case lines <- line:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the log of pod %s: %w", pod, err)
		}
	}
}

// logLine is a line of the operator's log.
type logLine struct {
	Time      string `json:"ts"`
	Level     string `json:"level"`
	Text      string `json:"msg"`
	Message   string `json:"message"`
	Error     string `json:"error"`
	Kind      string `json:"controllerKind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// format writes a line for people, and says whether it is one that is asked for.
func (q *logQuery) format(line string) (string, bool) {
	var l logLine
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &l) != nil {
		return "", false
	}
	shown := (q.level == "" || q.level == l.Level) && (q.kind == "" || strings.EqualFold(q.kind, l.Kind)) &&
		(q.name == "" || q.name == l.Name) && (q.all || q.namespace == l.Namespace)
	about := l.Kind
	if l.Name != "" {
		about += "/" + l.Name + "." + l.Namespace
	}
	text := l.Text
	if l.Message != "" {
		text += ": " + l.Message
	}
	return strings.Join([]string{l.Time, l.Level, about, "-", text, l.Error}, " "), shown
}
