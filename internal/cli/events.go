package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// eventQuery is which events are shown.
type eventQuery struct {
	of    string
	types []string
	all   bool
	watch bool
	// scopes are the lists that the answer is made of.
	scopes []eventScope
}

// eventScope is one list of events.
type eventScope struct{ kind, name, namespace string }

func (a *App) newEvents() *cobra.Command {
	var q eventQuery
	cmd := &cobra.Command{
		Use: "events", Args: wants(cobra.NoArgs), Short: "Show what happened to the objects that Peyk works on",
		Long: `Show the Kubernetes events of the objects that Peyk works on, the newest last. With --for those of one object and of what
it is made from.`,
		Example: `  peyk events -A --types Warning

  # a Kustomization and its source, and go on
  peyk events --for Kustomization/apps --watch`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, t := range q.types {
				if !strings.EqualFold(t, corev1.EventTypeNormal) && !strings.EqualFold(t, corev1.EventTypeWarning) {
					return usagef("type %q: choose Normal or Warning", t)
				}
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			return a.events(cmd, cluster, q)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&q.of, "for", "", "only those of a Kind or of Kind/name, and of what that is made from")
	flags.StringSliceVar(&q.types, "types", nil, "only those of type Normal or Warning")
	flags.BoolVarP(&q.all, "all-namespaces", "A", false, "of every namespace")
	flags.BoolVarP(&q.watch, "watch", "w", false, "go on and print what happens")
	return cmd
}

func (a *App) events(cmd *cobra.Command, cluster *Cluster, q eventQuery) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	if err := q.scope(ctx, cluster); err != nil {
		return err
	}
	say := newPrinter(cmd.OutOrStdout(), a.plain)
	if q.watch {
		return q.follow(cmd.Context(), cluster.Client, say)
	}
	events, err := q.list(ctx, cluster.Client)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		in := "."
		if !q.all {
			in = fmt.Sprintf(" in %s namespace.", cluster.Namespace)
		}
		newPrinter(cmd.ErrOrStderr(), a.plain).Failure("No events found%s", in)
		return nil
	}
	rows := [][]string{q.header()}
	for i := range events {
		rows = append(rows, q.row(&events[i]))
	}
	printTable(say, rows, true)
	return nil
}

// scope decides which lists are read: one, or with --for the object's and those of what it is made from.
func (q *eventQuery) scope(ctx context.Context, cluster *Cluster) error {
	own := eventScope{namespace: cluster.Namespace}
	if q.all {
		own.namespace = ""
	}
	if q.of == "" {
		q.scopes = []eventScope{own}
		return nil
	}
	of, name, _ := strings.Cut(q.of, "/")
	k, found := kindNamed(of)
	if !found {
		return usagef("kind %q: name one that Peyk works on, as in Kustomization/apps", of)
	}
	own.kind, own.name = k.gvk.Kind, name
	q.scopes = []eventScope{own}
	if name == "" || k.origin == nil {
		return nil
	}
	for key := k.key(cluster.Namespace, name); k.origin != nil; {
		object, err := getObject(ctx, cluster.Client, k, key)
		if err != nil {
			return err
		}
		if k, key, err = k.origin(object); err != nil {
			return nil //nolint:nilerr // a source of another kind has no events here
		}
		q.scopes = append(q.scopes, eventScope{k.gvk.Kind, key.Name, key.Namespace})
	}
	return nil
}

func (s eventScope) options() []client.ListOption {
	options := []client.ListOption{client.InNamespace(s.namespace)}
	terms := fields.Set{}
	if s.kind != "" {
		terms["involvedObject.kind"] = s.kind
	}
	if s.name != "" {
		terms["involvedObject.name"] = s.name
	}
	if len(terms) > 0 {
		options = append(options, client.MatchingFieldsSelector{Selector: terms.AsSelector()})
	}
	return options
}

func (q *eventQuery) list(ctx context.Context, c client.Client) ([]corev1.Event, error) {
	var all []corev1.Event
	for _, s := range q.scopes {
		list := &corev1.EventList{}
		if err := c.List(ctx, list, s.options()...); err != nil {
			return nil, fmt.Errorf("listing events: %w", err)
		}
		all = append(all, list.Items...)
	}
	all = slices.DeleteFunc(all, func(e corev1.Event) bool { return !q.shows(&e) })
	slices.SortStableFunc(all, func(a, b corev1.Event) int { return lastSeen(&a).Compare(lastSeen(&b)) })
	return all, nil
}

// shows says whether the event is of a kind that Peyk works on, and of a wanted type.
func (q *eventQuery) shows(e *corev1.Event) bool {
	known := slices.ContainsFunc(counted(), func(gvk schema.GroupVersionKind) bool { return gvk.Kind == e.InvolvedObject.Kind })
	return known && (len(q.types) == 0 || slices.ContainsFunc(q.types, func(t string) bool { return strings.EqualFold(t, e.Type) }))
}

// namespaces says whether the rows begin with the namespace.
func (q *eventQuery) namespaces() bool {
	return slices.ContainsFunc(q.scopes, func(s eventScope) bool { return s.namespace == "" || s.namespace != q.scopes[0].namespace })
}

func (q *eventQuery) header() []string {
	header := []string{"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"}
	if q.namespaces() {
		header = append([]string{"NAMESPACE"}, header...)
	}
	return header
}

func (q *eventQuery) row(e *corev1.Event) []string {
	message := strings.Join(strings.Fields(e.Message), " ")
	row := []string{seen(e), e.Type, e.Reason, e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, message}
	if q.namespaces() {
		row = append([]string{e.Namespace}, row...)
	}
	return row
}

func lastSeen(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	}
	return e.EventTime.Time
}

// seen says how long ago the event was, and how often it came since when.
func seen(e *corev1.Event) string {
	first := e.EventTime.Time
	if first.IsZero() {
		first = e.FirstTimestamp.Time
	}
	switch {
	case e.Series != nil:
		return fmt.Sprintf("%s (x%d over %s)", since(e.Series.LastObservedTime.Time), e.Series.Count, since(first))
	case e.Count > 1:
		return fmt.Sprintf("%s (x%d over %s)", since(e.LastTimestamp.Time), e.Count, since(first))
	}
	return since(first)
}

func since(t time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t))
}

// follow prints events as they come, until ctx ends.
func (q *eventQuery) follow(ctx context.Context, c client.WithWatch, say *printer) error {
	rows := make(chan []string)
	failures := make(chan error, len(q.scopes))
	for _, s := range q.scopes {
		go func() { failures <- q.stream(ctx, c, s, rows) }()
	}
	t := newTable(say, [][]string{q.header()})
	t.header(q.header())
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failures:
			if ctx.Err() != nil {
				return nil
			}
			return err
		case row := <-rows:
			for i, cell := range row {
				t.widths[i] = max(t.widths[i], len(cell))
			}
			t.print(row)
		}
	}
}

func (q *eventQuery) stream(ctx context.Context, c client.WithWatch, s eventScope, rows chan<- []string) error {
	for resourceVersion := ""; ; {
		options := &client.ListOptions{}
		options.ApplyOptions(s.options())
		options.Raw = &metav1.ListOptions{ResourceVersion: resourceVersion}
		events, err := c.Watch(ctx, &corev1.EventList{}, options)
		if err != nil {
			return fmt.Errorf("watching events: %w", err)
		}
		for event := range events.ResultChan() {
			e, ok := event.Object.(*corev1.Event)
			if !ok {
				resourceVersion = ""
				continue
			}
			resourceVersion = e.ResourceVersion
			if event.Type == "DELETED" || !q.shows(e) {
				continue
			}
			select {
			case rows <- q.row(e):
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}
