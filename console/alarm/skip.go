package alarm

import "strings"

// Functions that stand in a trace without being the culprit. A report is titled
// by the first function that is none of them. They come from the kernel's
// sources and from the traces of real reports; a * stands for any ending.
const (
	// The machinery that notices, prints and delivers a report.
	reporters = `panic_* dump_stack* show_stack* perf_trace_* dump_backtrace* show_regs* panic vpanic __panic nmi_* __warn*
		warn_* brk_handler handle_bug exc_* asm_* do_debug_exception do_error_trap do_invalid_op invalid_op do_trap*
		die die_* __die* oops_* no_context bad_area* __bad_area* do_page_fault __do_page_fault do_kern_addr_fault
		page_fault* async_page_fault trace_* do_general_protection general_protection error_code do_translation_fault
		do_mem_abort el1_* el1h_* el0_* el1t_* do_DataAbort do_bad_area do_alignment* __do_kernel_fault
		do_tag_check_fault do_undefinstr call_undef_hook bug_handler* fixup_bug* handle_exception do_sync_core
		do_double_fault double_fault df_debug print_* report_* end_report* spin_dump spin_bug __x86_indirect_thunk*
		__reiserfs_panic skb_panic skb_over_panic skb_under_panic assertfail kasan_* __kasan_* ____kasan_*
		check_memory_region* __asan_* asan_* __hwasan_* kmsan_* __msan_* __kmsan_* msan_* kfence_* __kfence_* kcsan_*
		__kcsan_* __tsan_* check_access ubsan_* __ubsan_* handle_overflow __sanitizer_* write_comp_data object_err
		slab_err slab_bug slab_fix check_slab check_object free_debug_processing alloc_debug_processing stack_trace_*
		save_stack* __save_stack* save_trace* usercopy_abort __check_object_size check_object_size check_heap_object*
		check_stack_object __list_add_valid* __list_del_entry_valid* __list_del_entry list_del* __list_add list_add*
		__list_del __read_once_size __write_once_size arch_atomic* atomic_* atomic64_* __atomic* instrument_*
		test_bit* set_bit* clear_bit* __refcount* refcount_* kref_* kobject_get kobject_put kobject_add*
		kobject_cleanup get_device put_device fault_in_* add_taint* __fortify* fortify_* crash_* __crash_*
		rust_helper_* rust_begin_unwind rust_panic*`

	// What every caller uses: memory, strings, lists, the driver core's books.
	library = `memcpy* __memcpy* memset* __memset* memmove* __memmove* memcmp* __memcmp* memscan str* __str* __pi_* __fget*
		sprintf snprintf vsnprintf _copy_to_user* _copy_from_user* copy_user* copy_to_user* copy_from_user* __copy_*
		raw_copy* copyout* copy_mc* __get_user* __put_user* get_user* put_user* copy_page_to_iter*
		copy_page_from_iter* _copy_to_iter* _copy_from_iter* copyin* csum_* __raw_* bcmp find_next_bit* _find_*
		__bitmap* bitmap_* ktime_* __free_object debug_check_no_obj* debug_print_object __debug_* debug_obj*
		debug_timer* debug_work* kfree* kvfree* __kfree* kmalloc* __kmalloc* ___kmalloc* __do_kmalloc* kzalloc*
		krealloc* __krealloc* kvmalloc* __kvmalloc* kmem_* __kmem_* slab_* __slab_* ___slab_* ___cache_free
		__cache_free cache_* alloc_pages* __alloc_pages* __page_* page_pool_* get_page_from_freelist post_alloc_hook
		prep_new_page free_unref* free_pcp* __free_pages* free_large_kmalloc fault_create* should_fail*
		__should_failslab free_pages* __rmqueue* rmqueue* kmemdup* __kmemdup* memdup_user* vmalloc* __vmalloc*
		vzalloc* kvzalloc* pcpu_* idr_* radix_tree_* __radix_* xa_* xas_* __xa_* rb_* __rb_* timerqueue_add
		timer_is_static_object klist_* hlist_* skb_clone skb_put skb_push skb_pull qdisc_alloc sk_prot_alloc sk_alloc
		fsnotify* drop_nlink inc_nlink mark_buffer_dirty ref_tracker_* sysfs_remove_* sysfs_create_* kthread_stop
		usb_kill_urb osq_lock simple_copy_* iput dput fast_dput folio_unlock find_lock_entries find_get_*
		__x86_stack_chk* __stack_chk_fail printk* vprintk* _printk _dev_* __dev_printk dev_printk* dev_vprintk*
		dev_info unwind_* arch_stack_walk* walk_stackframe logic_in* logic_out* kobject_* get_device_parent device_add
		device_del device_unregister device_register device_create* device_destroy device_release insert_work
		__queue_work* queue_work* truncate_inode_pages* add_uevent_var dpm_sysfs_* devres_* hwrng_unregister
		rollback_registered* unregister_netdevice_many* unregister_netdevice_queue call_rcu* __call_rcu* vunmap
		__vunmap vfree try_to_grab_pending mod_timer* __mod_timer* add_timer* _atomic_* test_and_* kmemleak_*
		create_object alloc_percpu* __alloc_percpu* __alloc_frozen* __local_bh_* crc_* crc16* crc32* vscnprintf kstrdup*
		kstrndup* kvasprintf* kasprintf* dev_set_name do_raw_* debug_spin_*`

	// Locks, and what waits for them.
	locks = `__lock_acquire* __lock_release* lockdep_* lock_* mark_lock* mark_held* validate_chain* check_*
		register_lock_class assign_lock_key look_up_lock_class debug_check_no_locks* lookup_chain* add_chain* print_*
		find_held_lock* __raw_spin_* __raw_read_* __raw_write_* _raw_* spin_lock* spin_unlock* read_lock* write_lock*
		queued_* native_queued_* pv_* __pv_* do_raw_* down_read* down_write* __down_* down up_read up_write up __up_*
		rwsem_* mutex_* __mutex_* ww_mutex_* rt_mutex_* __rt_mutex_* percpu_down_* percpu_up_* rcu_read_* __rcu_read_*
		rcu_lock_* release_sock seqcount_* __might_* might_* ___might_* __task_rq_lock task_rq_lock task_fork*
		down_trylock* finish_wait wait_for_completion* __wake_up* try_to_wake_up cancel_work* __cancel_work*
		cancel_delayed* preempt_* debug_smp_processor_id __this_cpu_preempt_check sched_* __schedule* schedule*
		io_schedule* cant_sleep* __bit_spin* bit_spin* local_* flush_work* __flush_work* start_flush_work*
		drain_workqueue del_timer* timer_delete* __timer_delete* touch_* save_trace* add_lock_to_list`

	// Waiting as such, for a task that hangs.
	waits = `__switch_to* context_switch __schedule* schedule* io_schedule* preempt_schedule* wait_for_* __wait_for*
		do_wait_for* wait_woken wait_on_* __wait_on_* out_of_line_* prepare_to_wait* finish_wait bit_wait* wait_event*
		__wait_event* mutex_* __mutex_* rt_mutex* __rt_mutex* rwsem_* down_* __down_* down __down percpu_down*
		percpu_rwsem* rwbase_* call_rwsem_* console_lock msleep* usleep* folio_wait_* __folio_lock* folio_lock*
		__lock_page* lock_page* do_read_cache_* filemap_fdatawait* __filemap_fdatawait* autoremove_wake* rcu_barrier*
		__wait_rcu_gp sched_* cond_resched* __cond_resched _cond_resched __flush_work* flush_work* __cancel_work*
		cancel_work* cancel_delayed_work* jbd2_log_wait*`

	// Where the kernel hands over to a driver, protocol or file system: what these
	// call is the entrance to the work being done.
	doors = `sys_* do_vfs_ioctl vfs_ioctl compat_ioctl sock_sendmsg* __sock_sendmsg sock_recvmsg* sock_common_setsockopt
		__vfs_read __vfs_write vfs_read vfs_write new_sync_read new_sync_write call_read_iter call_write_iter
		do_iter_readv_writev process_one_work call_timer_fn* expire_timers tasklet_action* __do_softirq
		handle_softirqs __netif_receive_skb* nfnetlink_rcv_msg rtnetlink_rcv_msg __fput kthread do_one_initcall
		do_idle task_work_run do_syscall_* el0_svc* invoke_syscall*`
)

// names is a set of function names; a trailing * stands for any ending.
type names struct {
	exact  map[string]bool
	prefix []string
}

func newNames(lists ...string) names {
	n := names{exact: map[string]bool{}}
	for _, list := range lists {
		for name := range strings.FieldsSeq(list) {
			if stem, ok := strings.CutSuffix(name, "*"); ok {
				n.prefix = append(n.prefix, stem)
			} else {
				n.exact[name] = true
			}
		}
	}
	return n
}

func (n names) has(fn string) bool {
	if n.exact[fn] {
		return true
	}
	for _, p := range n.prefix {
		if strings.HasPrefix(fn, p) {
			return true
		}
	}
	return false
}
