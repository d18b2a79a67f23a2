;;; Directory Local Variables -*- no-byte-compile: t -*-
;;; Written by `./x setup editor emacs`, which updates it as long as nobody edits it. sha256:@sum@
;;; For eglot and for lsp-mode. Everything that compiles goes through ./x, in the same build directory as in a terminal.

((nil
  . ((eglot-workspace-configuration
      . (:rust-analyzer
         (:linkedProjects [@linked@]
          :checkOnSave t
          :check (:invocationStrategy "per_workspace"
                  :overrideCommand [@check@])
          :cargo (
                  :sysroot @sysroot@
                  :buildScripts (:enable t
                                 :invocationStrategy "once"
                                 :overrideCommand [@build-scripts@]))
          :rustfmt (:overrideCommand [@rustfmt@])
          :procMacro (:enable t
                      :server @proc-macro-server@
                      )
          :files (:excludeDirs [@excluded@]))))
     (lsp-rust-analyzer-linked-projects . [@linked@])
     (lsp-rust-analyzer-cargo-watch-enable . t)
     (lsp-rust-analyzer-cargo-override-command . [@check@])
     (lsp-rust-analyzer-cargo-run-build-scripts . t)
     (lsp-rust-analyzer-rustfmt-override-command . [@rustfmt@])
     (lsp-rust-analyzer-proc-macro-enable . t))))
