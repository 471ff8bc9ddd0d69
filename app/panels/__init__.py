"""The panels of the window; each draws one part of a `app.view.View`, and no more."""
