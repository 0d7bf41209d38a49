package writeback_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/writeback"
)

type jsonRaw = json.RawMessage

// BenchmarkSubmit sets one var in one of 200 files, from 64 callers at once. The floor is stock git, which pushes the
// same commits, made beforehand, in pushes of as many.
func BenchmarkSubmit(b *testing.B) {
	root := b.TempDir()
	repo := gittest.NewRepo(b, root, "app")
	repo.Git("config", "http.receivepack", "true")
	files := map[string]string{}
	for i := range 200 {
		files[fmt.Sprintf("packs/p%d.yaml", i)] = packText
	}
	repo.Commit("main", "first", files)
	base := repo.Git("rev-parse", "main")
	server := gittest.NewHTTPServer(b, root, nil)
	mirrors, err := git.NewMirrors(b.TempDir(), git.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	w := writeback.New(mirrors, writeback.Options{Scanner: writeback.NoSecrets{}})
	target := writeback.Target{Remote: git.Remote{URL: server.URL + "/app.git"}, Branch: "main"}
	object := writeback.ObjectOf(types.NamespacedName{Namespace: "shop", Name: "app"})
	calls := make(chan int)
	var wait sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wait.Go(func() {
			for i := range calls {
				_, err := w.Submit(b.Context(), writeback.Change{
					Target: target, Path: fmt.Sprintf("packs/p%d.yaml", i%200), IdempotencyKey: fmt.Sprint(i),
					Edit: writeback.SetVars(object, map[string]jsonRaw{"TAG": jsonRaw(fmt.Sprintf(`"t%d"`, i))}),
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		calls <- i
	}
	close(calls)
	wait.Wait()
	b.StopTimer()
	pushes := int(server.Fetches.Load()) - 1 // one of them fetches
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64(b.N)/float64(pushes), "commits/push")
	floor(b, repo, base, max(1, b.N/max(1, pushes)))
}

// floor pushes the commits of main again, so many at a time, to an empty repository behind the same kind of server.
func floor(b *testing.B, repo *gittest.Repo, base string, batch int) {
	root := b.TempDir()
	target := gittest.NewRepo(b, root, "floor")
	target.Git("config", "http.receivepack", "true")
	server := gittest.NewHTTPServer(b, root, nil)
	address := server.URL + "/floor.git"
	repo.Git("push", "--quiet", address, base+":refs/heads/main")
	var hashes []string
	for n := b.N - batch; n > 0; n -= batch {
		hashes = append(hashes, repo.Git("rev-parse", fmt.Sprintf("main~%d", n)))
	}
	hashes = append(hashes, repo.Git("rev-parse", "main"))
	start := time.Now()
	for _, hash := range hashes {
		repo.Git("push", "--quiet", address, hash+":refs/heads/main")
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "floor-commits/s")
}
