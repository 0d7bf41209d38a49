package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follower prints the rows of one kind and then those that change, until its context ends.
type follower struct {
	query   query
	cluster *Cluster
	say     *printer
	table   *table
	shown   map[client.ObjectKey][]string
}

// follow prints the table and then every row that changes. The end of ctx is no error: it is how people stop it.
func (q query) follow(ctx context.Context, cluster *Cluster, say *printer) error {
	f := &follower{query: q, cluster: cluster, say: say, shown: map[client.ObjectKey][]string{}}
	for {
		err := f.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// once lists and watches until the API server ends the watch, as it does now and then.
func (f *follower) once(ctx context.Context) error {
	k := f.query.kinds[0]
	list, err := f.query.list(ctx, f.cluster, k)
	if err != nil {
		return err
	}
	items, err := itemsOf(list)
	if err != nil {
		return err
	}
	f.begin(k, items)
	for _, item := range items {
		f.show(k, item, false)
	}
	options := &client.ListOptions{}
	options.ApplyOptions(f.query.options(f.cluster, k))
	options.Raw = &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}
	events, err := f.cluster.Client.Watch(ctx, k.list(), options)
	if err != nil {
		return fmt.Errorf("watching the objects of kind %s: %w", k.gvk.Kind, err)
	}
	defer events.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-events.ResultChan():
			if !open || event.Type == watch.Error {
				return nil
			}
			object, ok := event.Object.(client.Object)
			if !ok {
				return errors.New("the cluster sent something that is no object")
			}
			if f.query.wants(k, object) {
				f.show(k, object, event.Type == watch.Deleted)
			}
		}
	}
}

// begin prints the header, once.
func (f *follower) begin(k kind, items []client.Object) {
	if f.table != nil {
		return
	}
	rows := [][]string{k.header(f.query.columns())}
	for _, item := range items {
		rows = append(rows, k.row(item, f.query.columns()))
	}
	f.table = newTable(f.say, rows)
	if !f.query.bare {
		f.table.header(rows[0])
	}
}

// show prints the object's row if it is not what was printed last.
func (f *follower) show(k kind, object client.Object, deleted bool) {
	key := client.ObjectKeyFromObject(object)
	row := k.row(object, f.query.columns())
	if deleted {
		row[len(row)-2], row[len(row)-1] = "-", "deleted"
		delete(f.shown, key)
		f.table.print(row)
		return
	}
	if slices.Equal(f.shown[key], row) {
		return
	}
	f.shown[key] = row
	f.table.print(row)
}
