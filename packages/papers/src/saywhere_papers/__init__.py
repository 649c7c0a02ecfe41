"""Small trained weights of the published networks that Saywhere implements, one file each.

``saywhere.load("multistage")`` finds them here.
"""
